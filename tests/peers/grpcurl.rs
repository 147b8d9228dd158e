//! grpcurl, a command line that knows nothing of HiveSync: it asks the server what there is, and calls it.

use std::{fs, net::SocketAddr, path::PathBuf, process::Stdio};

use hivesync_proto::device_proof;
use hivesync_server::edge::policy;
use hivesync_tests::{
    backend::Backend,
    caller::{PASSWORD, address_of},
    certificate::Certificate,
    device::Device,
    tool,
    world::{World, in_time},
};
use serde_json::{Deserializer, Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

const PROGRAM: &str = "HIVESYNC_TEST_GRPCURL";
const LOGIN: &str = "hivesync.v1.AuthService/Login";
const GET_ME: &str = "hivesync.v1.UserService/GetMe";
/// grpcurl adds the status code to this for its own exit code.
const EXIT_CODE_BASE: i32 = 64;

/// grpcurl, and the server that it calls.
struct Grpcurl {
    program: PathBuf,
    server: SocketAddr,
    /// What to trust; plaintext without it.
    root: Option<PathBuf>,
}

/// What grpcurl made of a call.
#[derive(Debug)]
struct Answer {
    exit_code: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    /// The message of a call that was answered.
    #[track_caller]
    fn message(&self) -> Value {
        assert_eq!(self.exit_code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }

    /// The status of a call that was refused, with this code.
    #[track_caller]
    fn status(&self, code: tonic::Code) -> Value {
        assert_eq!(self.exit_code, EXIT_CODE_BASE + code as i32, "{self:?}");
        let status: Value = serde_json::from_str(&self.stderr).expect("JSON");
        assert_eq!(status["code"], code as i32);
        status
    }
}

impl Grpcurl {
    fn of(program: PathBuf, world: &World) -> Self {
        Self { program, server: world.app().addresses.public, root: None }
    }

    fn command(&self, options: &[&str], verb: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        match &self.root {
            Some(root) => command.arg("-cacert").arg(root),
            None => command.arg("-plaintext"),
        };
        command.args(["-format-error", "-max-time", "30"]).args(options);
        command.arg(self.server.to_string()).args(verb);
        command
    }

    async fn run(mut command: Command, input: &[u8]) -> Answer {
        let output = tool::run(&mut command, input).await;
        let text = |bytes| String::from_utf8(bytes).expect("grpcurl writes UTF-8");
        Answer {
            exit_code: output.status.code().expect("not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What the server says about itself: `list`, or `describe`.
    async fn ask(&self, verb: &[&str]) -> Answer {
        Self::run(self.command(&[], verb), b"").await
    }

    /// Calls `method`. What is secret goes through the environment, where other users do not see it.
    async fn call(&self, method: &str, request: &Value, metadata: &[(&str, &str)]) -> Answer {
        let mut options = vec!["-expand-headers".to_owned(), "-d".to_owned(), "@".to_owned()];
        for (number, (name, _)) in metadata.iter().enumerate() {
            options.extend(["-H".to_owned(), format!("{name}: ${{METADATA_{number}}}")]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut command = self.command(&options, &[method]);
        for (number, (_, value)) in metadata.iter().enumerate() {
            command.env(format!("METADATA_{number}"), value);
        }
        Self::run(command, request.to_string().as_bytes()).await
    }
}

/// The detail of a status whose type ends with `name`.
#[track_caller]
fn detail<'a>(status: &'a Value, name: &str) -> &'a Value {
    let details = status["details"].as_array().expect("details");
    let found = details.iter().find(|detail| {
        detail["@type"].as_str().is_some_and(|kind| kind == format!("type.googleapis.com/google.rpc.{name}"))
    });
    found.unwrap_or_else(|| panic!("no {name} in {status}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_shows_what_the_listener_serves() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let grpcurl = Grpcurl::of(program, &world);

    let listed = grpcurl.ask(&["list"]).await.stdout;
    let mut served: Vec<&str> = policy::TABLE
        .iter()
        .filter(|row| policy::Listener::Public.serves(row.audience, true))
        .map(|row| row.route.split_once('/').expect("service and method").0)
        .collect();
    served.sort_unstable();
    served.dedup();
    assert_eq!(listed.lines().collect::<Vec<_>>(), served);

    let service = grpcurl.ask(&["describe", "hivesync.v1.AuthService"]).await.stdout;
    assert!(service.contains("rpc Login ( .hivesync.v1.LoginRequest )"), "{service}");
    let message = grpcurl.ask(&["describe", "hivesync.v1.RegisterRequest"]).await.stdout;
    assert!(message.contains("string email = 1"), "{message}");
    assert!(message.contains("email: true"), "the rules are shown with the fields: {message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_registers_signs_in_and_reads_its_account() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let grpcurl = Grpcurl::of(program, &world);
    let (email, wire, device) = (address_of("ada"), world.wire().await, Device::new());

    let account = json!({ "email": email, "password": PASSWORD, "displayName": "Ada" });
    assert_eq!(grpcurl.call("hivesync.v1.AuthService/Register", &account, &[]).await.message(), json!({}));

    let credentials = json!({
        "email": email, "password": PASSWORD, "deviceName": "grpcurl", "platform": "PLATFORM_DESKTOP",
    });
    let unproven = grpcurl.call(LOGIN, &credentials, &[]).await.status(tonic::Code::Unauthenticated);
    assert_eq!(detail(&unproven, "ErrorInfo")["reason"], "INVALID_DEVICE_PROOF");
    let proof = device.sign(&wire.claims(LOGIN, None));
    let metadata = [(device_proof::METADATA_KEY, proof.as_str())];
    let tokens = grpcurl.call(LOGIN, &credentials, &metadata).await.message();
    let bearer = format!("Bearer {}", tokens["accessToken"].as_str().expect("a token"));

    let me = grpcurl.call(GET_ME, &json!({}), &[("authorization", &bearer)]).await.message();
    assert_eq!((&me["email"], &me["displayName"]), (&json!(email), &json!("Ada")));
    assert_eq!(me["id"], tokens["userId"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_reads_why_a_call_is_refused() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let grpcurl = Grpcurl::of(program, &world);

    let status = grpcurl.call(GET_ME, &json!({}), &[]).await.status(tonic::Code::Unauthenticated);
    let info = detail(&status, "ErrorInfo");
    assert_eq!((&info["reason"], &info["domain"]), (&json!("UNAUTHENTICATED"), &json!("hivesync.dev")));
    let correlation_id = detail(&status, "RequestInfo")["requestId"].as_str().expect("an ID");
    assert!(!correlation_id.is_empty());

    let account = json!({ "email": "nobody", "password": PASSWORD, "displayName": "" });
    let answer = grpcurl.call("hivesync.v1.AuthService/Register", &account, &[]).await;
    let status = answer.status(tonic::Code::InvalidArgument);
    let violations = detail(&status, "BadRequest")["fieldViolations"].as_array().expect("violations");
    let fields: Vec<_> = violations.iter().map(|violation| violation["field"].as_str()).collect();
    assert_eq!(fields, [Some("email"), Some("display_name")]);

    // Of what the server does not show, grpcurl must be told; the server does not serve it either.
    fs::write(
        world.directory().join("imagined.proto"),
        "syntax = 'proto3';\npackage hivesync.v1;\nmessage Nothing {}\n\
         service UserService { rpc GetYou(Nothing) returns (Nothing); }\n",
    )
    .expect("writable");
    let directory = world.directory().display().to_string();
    let imagined = ["-import-path", &directory, "-proto", "imagined.proto"];
    let command = grpcurl.command(&imagined, &["hivesync.v1.UserService/GetYou"]);
    let status = Grpcurl::run(command, b"").await.status(tonic::Code::Unimplemented);
    assert!(status["message"].as_str().is_some_and(|text| !text.contains("GetYou")), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_asks_after_the_health_of_each_service() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let grpcurl = Grpcurl::of(program, &world);
    for service in ["", "hivesync.v1.AuthService", "hivesync.v1.NotificationService"] {
        let answer = grpcurl.call("grpc.health.v1.Health/Check", &json!({ "service": service }), &[]).await;
        assert_eq!(answer.message()["status"], "SERVING", "{service}");
    }
    let answer = grpcurl.call("grpc.health.v1.Health/Check", &json!({ "service": "nobody" }), &[]).await;
    answer.status(tonic::Code::NotFound);
}

/// Whoever watches is told what there is at once, and then what changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_watches_the_server_leave() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let question = r#"{"service": "hivesync.v1.ProjectService"}"#;
    let mut watching = Grpcurl::of(program, &world)
        .command(&["-d", question], &["grpc.health.v1.Health/Watch"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("grpcurl runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("piped")).lines();
    in_time(async move {
        let mut said = String::new();
        while !said.ends_with('}') {
            said.push_str(&lines.next_line().await.expect("readable").expect("an answer"));
        }
        world.stop().await;
        while let Some(line) = lines.next_line().await.expect("readable") {
            said.push_str(&line);
        }
        let told: Vec<Value> =
            Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().expect("JSON");
        assert_eq!(told, [json!({ "status": "SERVING" }), json!({ "status": "NOT_SERVING" })]);
    })
    .await;
}

/// In production the server tells nobody its contract, and answers health checks all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_keeps_the_contract_to_itself() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let certificate = Certificate::new();
    let world = World::in_production(&certificate).await;
    let grpcurl = Grpcurl { root: Some(certificate.root()), ..Grpcurl::of(program, &world) };
    for verb in [["list"].as_slice(), &["describe", "hivesync.v1.AuthService"]] {
        let refused = grpcurl.ask(verb).await;
        assert_ne!(refused.exit_code, 0, "{refused:?}");
        assert!(!format!("{refused:?}").contains("Login"), "{refused:?}");
    }
    let descriptors = world.directory().join("health.protoset");
    fs::write(&descriptors, tonic_health::pb::FILE_DESCRIPTOR_SET).expect("writable");
    let options = ["-protoset", &descriptors.display().to_string()];
    let command = grpcurl.command(&options, &["grpc.health.v1.Health/Check"]);
    assert_eq!(Grpcurl::run(command, b"").await.message()["status"], "SERVING");
}
