//! Holds the documents against the repository: what they link to, and what they name, is there.

use std::{collections::BTreeSet, fs, path::Path};

use crate::source::{repository, tracked};

/// Where the documents that speak of code find the files that they name.
const ROOTS: [&str; 6] = ["", "server/src", "server/src/domain", "workers/src", "sdk-rust/src", "proto"];
/// The crates whose items documents name.
const CRATES: [&str; 4] = ["proto/src", "sdk-rust/src", "server/src", "workers/src"];
/// Other people's crates, which documents may name.
const FOREIGN: [&str; 1] = ["tonic"];
/// The documents that name items, and files below a crate.
const ABOUT_CODE: [&str; 3] = ["proto/README.md", "server/README.md", "server/decisions/"];

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).expect("a document is text")
}

/// The text without what stands between code fences.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// What the links of a document lead to, within the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

/// What stands between single backticks.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_file_name(term: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    term.contains('/') && term.ends_with(".rs") && term.bytes().all(is_plain)
}

/// The segments of a path of items, such as `edge::Gate::pass`.
fn segments(term: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = term.split("::").collect();
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_ours = segments.len() > 1 && !FOREIGN.contains(&segments[0]);
    (is_ours && segments.iter().all(is_name)).then_some(segments)
}

/// The names of all items that the crates declare.
fn declared() -> BTreeSet<String> {
    let keywords = ["fn", "struct", "enum", "trait", "mod", "type", "const"];
    let files = tracked(".rs").into_iter().filter(|file| CRATES.iter().any(|root| file.starts_with(root)));
    let mut names = BTreeSet::new();
    for file in files {
        let text = read(&file);
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2).filter(|pair| keywords.contains(&pair[0])) {
            names.insert(pair[1].to_owned());
        }
    }
    names
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for name in tracked(".md") {
        let text = prose(&read(&name));
        let folder = Path::new(&name).parent().expect("a file is in a folder");
        let lost = links(&text).filter(|target| !repository().join(folder).join(target).exists());
        broken.extend(lost.map(|target| format!("{name} links to {target}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_documents_name_is_there() {
    let declared = declared();
    let mut missing = Vec::new();
    for name in tracked(".md").iter().filter(|name| ABOUT_CODE.iter().any(|about| name.starts_with(about))) {
        let text = prose(&read(name));
        for term in terms(&text) {
            if is_file_name(term) && !ROOTS.iter().any(|root| repository().join(root).join(term).is_file()) {
                missing.push(format!("{name}: there is no {term}"));
            }
            for segment in segments(term).into_iter().flatten() {
                if !declared.contains(segment) {
                    missing.push(format!("{name}: {term} names {segment}, which nothing is called"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn decisions_are_numbered_and_listed() {
    let files = tracked(".md").into_iter().filter(|name| name.starts_with("server/decisions/"));
    let index = read("server/README.md");
    let mut seen = 0;
    for (number, file) in (1..).zip(files) {
        let name = file.trim_start_matches("server/");
        assert!(name.starts_with(&format!("decisions/{number:04}-")), "{file} is not number {number}");
        assert!(read(&file).starts_with(&format!("# {number}. ")), "{file} begins with its number");
        assert!(index.contains(&format!("\n{number}. [")) && index.contains(name), "{file} is not listed");
        for part in ["Context", "Decision", "Consequences", "Alternatives"] {
            assert!(read(&file).contains(&format!("**{part}.**")), "{file} has no {part}");
        }
        seen = number;
    }
    assert!(seen > 0, "there are decisions");
}

#[test]
fn what_is_looked_for_is_seen() {
    let text = "See [this](a.md), [that](https://example.org) and `x/y.rs`.\n```sh\n[no](link)\n```\n`a::B`";
    assert_eq!(links(&prose(text)).collect::<Vec<_>>(), ["a.md"]);
    let prose = prose(text);
    let found: Vec<_> = terms(&prose).collect();
    assert_eq!(found, ["x/y.rs", "a::B"]);
    assert!(is_file_name("x/y.rs") && !is_file_name("<slice>/y.rs") && !is_file_name("y.rs"));
    assert_eq!(segments("a::B"), Some(vec!["a", "B"]));
    assert_eq!(segments("TryFrom"), None);
    assert!(declared().contains("Gate") && !declared().contains("NobodyIsCalledThis"));
}
