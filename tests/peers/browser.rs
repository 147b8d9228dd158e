//! A page in a real browser, from another origin than the server: gRPC-Web, and what CORS lets through.

use std::{convert::Infallible, net::SocketAddr, path::Path, process::Stdio, sync::Arc};

use bytes::Bytes;
use hivesync_proto::v1::ErrorReason as Reason;
use hivesync_tests::{
    backend::Backend,
    caller::{PASSWORD, address_of, login},
    device::Device,
    tool,
    wire::refused,
    world::{World, in_time},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
};
use url::Url;

const PAGE: &str = include_str!("browser/page.html");
const SCRIPT: &str = include_str!("browser/page.js");

/// A site of its own origin, which serves the page and takes its report.
struct Site {
    address: SocketAddr,
    reports: mpsc::Receiver<Value>,
}

impl Site {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (reported, reports) = mpsc::channel(1);
        let reported = Arc::new(reported);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let reported = reported.clone();
                let answer = service_fn(move |request| answer(request, reported.clone()));
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), answer)
                        .await;
                });
            }
        });
        Self { address, reports }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the page, for somebody with an e-mail address, and what follows it.
    fn page(&self, scenario: &str, server: SocketAddr, email: &str, next: &str) -> String {
        let server = format!("http://{server}");
        let query = [("scenario", scenario), ("server", &server), ("email", email), ("next", next)];
        Url::parse_with_params(&self.origin(), query).expect("an address").into()
    }
}

async fn answer(
    request: Request<Incoming>,
    reported: Arc<mpsc::Sender<Value>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (kind, content) = match (request.method(), request.uri().path()) {
        (&Method::POST, "/report") => {
            let body = request.into_body().collect().await.expect("a whole report").to_bytes();
            let _ = reported.send(serde_json::from_slice(&body).expect("JSON")).await;
            ("text/plain", "")
        }
        (_, "/page.js") => ("text/javascript", SCRIPT),
        _ => ("text/html", PAGE),
    };
    let response = Response::builder().header("content-type", kind);
    Ok(response.body(Full::from(content)).expect("a response"))
}

/// A browser that nobody sees, at this page.
fn browse(program: &Path, profile: &Path, page: &str) -> Child {
    Command::new(program)
        // Its own sandbox needs privileges that a test may lack; the pages are this suite's own.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the browser runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_listed_origin_walks_the_first_path_and_another_does_not() {
    let Some(program) = tool::find("HIVESYNC_TEST_CHROMIUM") else { return };
    let (mut listed, mut unlisted) = (Site::open().await, Site::open().await);
    let world = World::without_worker(Backend::Embedded, &[("CORS_ORIGINS", &listed.origin())]).await;
    let server = world.app().addresses.public;
    let second = unlisted.page("unlisted", server, &address_of("eve"), "about:blank");
    let first = listed.page("listed", server, &address_of("tim"), &second);
    let _browser = browse(&program, &world.directory().join("profile"), &first);
    in_time(async {
        let seen = listed.reports.recv().await.expect("a report");
        assert_eq!(seen["email"], address_of("tim"), "{seen}");
        assert_eq!(seen["trailers"]["grpc-status"], "0", "{seen}");
        assert_eq!((&seen["stands"], &seen["told"]), (&Value::Bool(true), &Value::Bool(true)), "{seen}");
        let unauthenticated = &seen["unauthenticated"];
        assert_eq!(unauthenticated["code"], tonic::Code::Unauthenticated as i32, "{seen}");
        assert_eq!(unauthenticated["reason"], "UNAUTHENTICATED", "{seen}");
        assert_eq!(unauthenticated["request_id"], unauthenticated["correlation_id"], "{seen}");
        assert_eq!(seen["invalid"]["reason"], "INVALID_REQUEST", "{seen}");
        // The browser itself refuses a header that is not listed, and credentials that are not wanted.
        for stopped in ["unlisted_header", "with_credentials"] {
            assert_eq!(seen[stopped], "TypeError: Failed to fetch", "{seen}");
        }

        let seen = unlisted.reports.recv().await.expect("a report");
        assert_eq!(seen["opaque"], true, "{seen}");
        assert_eq!(seen["refused"], "TypeError: Failed to fetch", "{seen}");
    })
    .await;
    // What a page may send unasked has had no effect.
    let wire = world.wire().await;
    let outcome = login(&wire, &address_of("eve"), PASSWORD, &Device::new()).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidCredentials);
}
