//! buf, which reads the contract as other people's tools do, and which guards it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hivesync_proto::DESCRIPTORS;
use hivesync_tests::tool;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tempfile::TempDir;
use tokio::process::Command;

const PROGRAM: &str = "HIVESYNC_TEST_BUF";
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What buf exits with if it has something to say about the files.
const FOUND: i32 = 100;

/// A copy of the contract, to be changed.
struct Contract {
    program: PathBuf,
    directory: TempDir,
}

impl Contract {
    fn copy(program: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let repository = Path::new(REPOSITORY);
        fs::copy(repository.join("buf.yaml"), directory.path().join("buf.yaml")).expect("copied");
        for folder in ["proto/hivesync/v1", "proto/buf/validate"] {
            let target = directory.path().join(folder);
            fs::create_dir_all(&target).expect("made");
            for file in fs::read_dir(repository.join(folder)).expect("readable") {
                let file = file.expect("readable");
                fs::copy(file.path(), target.join(file.file_name())).expect("copied");
            }
        }
        Self { program, directory }
    }

    /// Replaces text that stands in a file once.
    #[track_caller]
    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.directory.path().join("proto/hivesync/v1").join(file);
        let text = fs::read_to_string(&path).expect("readable");
        assert_eq!(text.matches(from).count(), 1, "{file} holds {from:?} once");
        fs::write(path, text.replace(from, to)).expect("writable");
    }

    async fn buf(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.directory.path());
        let output = tool::run(&mut command, b"").await;
        (output.status.code().expect("not killed"), tool::words(&output))
    }
}

/// The files of a descriptor set, without the places where things stand in them. Dynamic messages, unlike prost's own
/// types, keep options that are extensions.
fn files(pool: &DescriptorPool, set: &[u8]) -> BTreeMap<String, DynamicMessage> {
    let kind = pool.get_message_by_name("google.protobuf.FileDescriptorSet").expect("imported");
    let set = DynamicMessage::decode(kind, set).expect("a descriptor set");
    let files = set.get_field_by_name("file").expect("the field exists");
    let named = files.as_list().expect("a list").iter().map(|file| {
        let mut file = file.as_message().expect("a message").clone();
        file.clear_field_by_name("source_code_info");
        let name = file.get_field_by_name("name").expect("the field exists");
        (name.as_str().expect("text").to_owned(), file)
    });
    // What comes with a compiler is of the compiler's version.
    named.filter(|(name, _)| !name.starts_with("google/")).collect()
}

#[tokio::test]
async fn buf_understands_the_contract_as_the_build_does() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let contract = Contract::copy(program);
    let image = contract.directory.path().join("image.binpb");
    let (code, words) =
        contract.buf(&["build", "--as-file-descriptor-set", "-o", &image.display().to_string()]).await;
    assert_eq!(code, 0, "{words}");
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("a descriptor set");
    let (theirs, ours) = (files(&pool, &fs::read(image).expect("written")), files(&pool, DESCRIPTORS));
    assert!(ours.contains_key("hivesync/v1/auth.proto"), "{:?}", ours.keys());
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, file) in &ours {
        assert!(theirs[name] == *file, "{name}: buf reads something else than the build does");
    }
}

#[tokio::test]
async fn what_breaks_a_client_is_refused() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let breaking = [
        ("a field is gone", "auth.proto", "  string refresh_token = 3;\n", ""),
        (
            "a field has another type",
            "auth.proto",
            "  uint32 access_token_expires_in_secs",
            "  string access_token_expires_in_secs",
        ),
        ("a field has another number", "users.proto", "  string email = 2;", "  string email = 20;"),
        ("a field has another name", "notifications.proto", "  uint64 cursor = 2;", "  uint64 place = 2;"),
        ("a value is gone", "errors.proto", "  ERROR_REASON_CANCELLED = 32;\n", ""),
        ("a value has another number", "jobs.proto", "  JOB_KIND_CLEANUP = 3;", "  JOB_KIND_CLEANUP = 4;"),
        (
            "an answer becomes a stream",
            "users.proto",
            "rpc GetMe(GetMeRequest) returns (User)",
            "rpc GetMe(GetMeRequest) returns (stream User)",
        ),
        (
            "a method is gone",
            "jobs.proto",
            "  rpc GetJob(GetJobRequest) returns (Job) {\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }\n",
            "",
        ),
    ];
    for (what, file, from, to) in breaking {
        let contract = Contract::copy(program.clone());
        contract.change(file, from, to);
        let (code, words) = contract.buf(&["breaking", "--against", REPOSITORY]).await;
        assert_eq!(code, FOUND, "{what}: {words}");
        assert!(words.contains(file), "{what}: {words}");
    }
}

#[tokio::test]
async fn what_breaks_no_client_is_not() {
    let Some(program) = tool::find(PROGRAM) else { return };
    let contract = Contract::copy(program);
    let added = "  // Whether the address is verified.\n  bool email_verified = 100;\n";
    contract.change("users.proto", "  string email = 2;\n", &format!("  string email = 2;\n{added}"));
    contract.change(
        "jobs.proto",
        "  JOB_KIND_CLEANUP = 3;\n",
        "  JOB_KIND_CLEANUP = 3;\n  JOB_KIND_IMAGINED = 100;\n",
    );
    for arguments in [["breaking", "--against", REPOSITORY].as_slice(), &["lint"]] {
        let (code, words) = contract.buf(arguments).await;
        assert_eq!(code, 0, "{words}");
    }
}

#[tokio::test]
async fn what_says_nothing_is_refused() {
    let Some(program) = tool::find(PROGRAM) else { return };
    for (what, file, from, to) in [
        ("a method without a comment", "users.proto", "  // Returns the caller's account.\n", ""),
        ("a value without its enum's name", "jobs.proto", "  JOB_KIND_CLEANUP = 3;", "  CLEANUP = 3;"),
    ] {
        let contract = Contract::copy(program.clone());
        contract.change(file, from, to);
        let (code, words) = contract.buf(&["lint"]).await;
        assert_eq!(code, FOUND, "{what}: {words}");
        assert!(words.contains(file), "{what}: {words}");
    }
}
