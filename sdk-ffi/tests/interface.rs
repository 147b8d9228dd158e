//! What the sources must say of the interface, in every language alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
const CLIENT_ERRORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-rust/src/error/kind.rs");

/// The lines of the item that begins with `opening`, up to the brace that closes it.
fn item<'a>(source: &'a str, opening: &str) -> impl Iterator<Item = &'a str> {
    let (_, rest) = source.split_once(opening).unwrap_or_else(|| panic!("there is no {opening}"));
    rest.lines().take_while(|line| *line != "}")
}

fn variants(path: &str, opening: &str) -> Vec<String> {
    let source = fs::read_to_string(path).unwrap();
    let name = |line: &str| line.trim_end_matches([',', ' ', '{']).to_owned();
    let is_variant =
        |line: &&str| line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase));
    item(&source, opening).filter(is_variant).map(|line| name(line.trim_start())).collect()
}

#[test]
fn errors_are_the_thirteen_of_the_client() {
    let here = variants(&format!("{SOURCES}/error.rs"), "pub enum HiveSyncError {");
    assert_eq!(here, variants(CLIENT_ERRORS, "pub enum ErrorKind {"));
    assert_eq!(here.len(), 13, "{here:?}");
}

/// The fields of records that sound secret: languages print records.
fn secret_fields(source: &str) -> Vec<String> {
    let records = source.split("uniffi::Record").skip(1);
    let fields = records.flat_map(|rest| item(rest, "pub struct ").collect::<Vec<_>>());
    let sounds_secret = |line: &&str| {
        line.trim_start().strip_prefix("pub ").and_then(|field| field.split_once(": ")).is_some_and(
            |(name, kind)| {
                let secret = ["token", "password", "secret", "credential"];
                secret.iter().any(|word| name.contains(word)) && !kind.starts_with("Arc<")
            },
        )
    };
    fields.filter(sounds_secret).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn no_record_holds_a_secret() {
    for entry in fs::read_dir(SOURCES).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            let source = fs::read_to_string(entry.path()).unwrap();
            assert_eq!(secret_fields(&source), Vec::<String>::new(), "{:?}", entry.path());
        }
    }
    let leaky = "#[derive(uniffi::Record)]\npub struct Published {\n    pub refresh_token: String,\n}\n";
    assert_eq!(secret_fields(leaky), ["pub refresh_token: String,"]);
}
