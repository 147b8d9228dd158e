//! Holds the documents against the repository: what they link to, and what they name, is there.

use std::{collections::BTreeSet, fs, path::Path};

use crate::source::{repository, tracked};

/// Where the documents that speak of code find the files that they name.
const ROOTS: [&str; 6] = ["", "server/src", "server/src/domain", "workers/src", "sdk-rust/src", "proto"];
/// The crates whose items documents name.
const CRATES: [&str; 4] = ["proto/src", "sdk-rust/src", "server/src", "workers/src"];
/// Other people's crates, which documents may name.
const FOREIGN: [&str; 1] = ["tonic"];
/// What a build makes, which documents may name.
const BUILT: [&str; 1] = ["native/"];
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

/// The path that a term is, or that a command begins with: none of a URL, and none below what a setting names.
fn path(term: &str) -> Option<&str> {
    let path = term.split_ascii_whitespace().next()?;
    let (first, _) = path.split_once('/')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let is_setting = first.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    // Nothing is before the first slash of a URL's path, and a setting is nothing but capitals.
    (!is_setting && path.bytes().all(is_plain)).then_some(path)
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

fn is_about_code(document: &str) -> bool {
    ABOUT_CODE.iter().any(|about| document.starts_with(about))
}

/// Whether a document's readers find a path: beside it, from the root of the repository, or where its code is.
fn is_found(path: &str, document: &str) -> bool {
    let folder = Path::new(document).parent().expect("a file is in a folder");
    let roots = if is_about_code(document) { &ROOTS[..] } else { &ROOTS[..1] };
    let mut folders = roots.iter().map(Path::new).chain([folder]);
    BUILT.contains(&path) || folders.any(|folder| repository().join(folder).join(path).exists())
}

#[test]
fn files_that_documents_name_are_there() {
    let mut missing = Vec::new();
    for name in tracked(".md") {
        let text = prose(&read(&name));
        let lost = terms(&text).filter_map(path).filter(|path| !is_found(path, &name));
        missing.extend(lost.map(|path| format!("{name}: there is no {path}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn items_that_documents_name_are_there() {
    let declared = declared();
    let mut missing = Vec::new();
    for name in tracked(".md").iter().filter(|name| is_about_code(name)) {
        let text = prose(&read(name));
        for term in terms(&text) {
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
    assert_eq!((path("x/y.rs"), path(".ci/run --offline")), (Some("x/y.rs"), Some(".ci/run")));
    for other in ["<slice>/y.rs", "y.rs", "/livez", "DATA_DIR/repos", "cargo build"] {
        assert_eq!(path(other), None, "{other}");
    }
    assert!(is_found("README.md", "proto/README.md") && is_found("tests/run", "proto/README.md"));
    assert!(!is_found("tests/drive.py", "sdk-ffi/python/README.md") && !is_found("domain", "README.md"));
    assert_eq!(segments("a::B"), Some(vec!["a", "B"]));
    assert_eq!(segments("TryFrom"), None);
    assert!(declared().contains("Gate") && !declared().contains("NobodyIsCalledThis"));
}
