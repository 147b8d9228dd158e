//! The rules of the contract, from the outside: what a message gets that breaks them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use hivesync_proto::{
    v1::{self, commit_request::Outcome, worker_message::Kind},
    validation::{VIOLATIONS_MAX, Validate, validate},
};

const UUID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

fn violations<M: Validate>(message: &M) -> Vec<(String, &'static str)> {
    validate(message).err().unwrap_or_default().into_iter().map(|found| (found.field, found.rule)).collect()
}

fn one(field: &str, rule: &'static str) -> Vec<(String, &'static str)> {
    vec![(field.to_owned(), rule)]
}

fn register() -> v1::RegisterRequest {
    v1::RegisterRequest {
        email: "ada@example.com".to_owned(),
        password: "Correct horse 1!".to_owned(),
        display_name: "Ada Lovelace".to_owned(),
    }
}

fn create_preview() -> v1::CreatePreviewRequest {
    let file = v1::ManifestFile { path: "index.html".to_owned(), size: 1, sha256: vec![0; 32] };
    v1::CreatePreviewRequest {
        project_id: UUID.to_owned(),
        manifest: Some(v1::Manifest {
            files: vec![file],
            entry_point: "index.html".to_owned(),
            platform: v1::Platform::Ios.into(),
            runtime_version: String::new(),
        }),
        device_id: String::new(),
        lifetime_secs: 0,
        idempotency_key: UUID.to_owned(),
    }
}

#[test]
fn accepts_what_obeys_the_rules() {
    assert_eq!(violations(&register()), []);
    assert_eq!(violations(&create_preview()), []);
    assert_eq!(violations(&v1::LogoutRequest { everywhere: true }), []);
    assert_eq!(violations(&v1::GetMeRequest {}), []);
}

#[test]
fn accepts_plain_addresses_and_refuses_the_rest() {
    let good = [
        "a@b.co",
        "first.last+tag@sub.example.com",
        "o'neil@example.org",
        "x@bücher.example",
        "x@xn--bcher-kva.de",
    ];
    for email in good {
        let request = v1::RegisterRequest { email: email.to_owned(), ..register() };
        assert_eq!(violations(&request), [], "{email}");
    }
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long_label = format!("a@{}.com", "b".repeat(64));
    let bad = [
        "",
        "@",
        "a@",
        "@example.com",
        "a@b",
        "a@@example.com",
        "a@b@example.com",
        "a b@example.com",
        "a@exa mple.com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "\"a b\"@example.com",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@-example.com",
        "a@example-.com",
        "a@example..com",
        "a@example.com.",
        "a@.example.com",
        "a(c)@example.com",
        "a@exam_ple.com",
        "ä@example.com",
        "a@b%75cher.ü",
        "a@example.com\r\nBcc: b@example.com",
        "a@ex\u{200b}ample.com/",
        long_local.as_str(),
        long_label.as_str(),
    ];
    for email in bad {
        let request = v1::RegisterRequest { email: email.to_owned(), ..register() };
        assert!(violations(&request).contains(&("email".to_owned(), "string.email")), "{email:?}");
    }
}

#[test]
fn refuses_everything_but_the_canonical_uuid() {
    let session = |id: &str| v1::RevokeSessionRequest { session_id: id.to_owned() };
    assert_eq!(violations(&session(UUID)), []);
    assert_eq!(violations(&session(&UUID.to_uppercase())), []);
    let braced = format!("{{{UUID}}}");
    let urn = format!("urn:uuid:{UUID}");
    let padded = format!("{UUID} ");
    let bare = UUID.replace('-', "");
    let other_digit = UUID.replace('8', "g");
    let shifted = "0190163d8-694-739b-aea5-966c26f8ad91";
    for id in ["", &braced, &urn, &padded, &bare, &other_digit, shifted] {
        assert_eq!(violations(&session(id)), one("session_id", "string.uuid"), "{id}");
    }
}

#[test]
fn refuses_control_characters_and_other_forms_of_text() {
    let named = |name: &str| v1::UpdateMeRequest { display_name: name.to_owned() };
    for name in ["a\0b", "a\nb", "a\tb", "a\x1b[31mb", "a\x7fb", "a\u{80}b", "a\u{9f}b"] {
        assert_eq!(violations(&named(name)), one("display_name", "text.control"), "{name:?}");
    }
    assert_eq!(violations(&named("e\u{301}")), one("display_name", "text.nfc"));
    assert_eq!(violations(&named("\u{212b}ngstrom")), one("display_name", "text.nfc"));
    assert_eq!(violations(&named("Ångström 東京 \u{1f98a}")), []);
}

#[test]
fn no_name_hides_what_it_is() {
    for letter in
        ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{9b}', '\u{ad}', '\u{3164}', '\u{e0041}']
    {
        let name = format!("a{letter}b");
        let found = [
            violations(&v1::CreateTeamRequest { name: name.clone(), ..Default::default() }),
            violations(&v1::CreateProjectRequest { name: name.clone(), ..Default::default() }),
            violations(&v1::RegisterRequest { display_name: name.clone(), ..Default::default() }),
            violations(&v1::UpdateMeRequest { display_name: name.clone() }),
            violations(&v1::LoginRequest { device_name: name.clone(), ..Default::default() }),
            violations(&v1::Hello { worker_id: name.clone(), ..Default::default() }),
            violations(&v1::Hello { build: name.clone(), ..Default::default() }),
        ];
        for (index, found) in found.iter().enumerate() {
            assert!(found.iter().any(|(_, rule)| *rule == "text.control"), "{index}, {name:?}: {found:?}");
        }
    }
}

#[test]
fn takes_a_password_as_it_is_but_for_nul() {
    let request = |password: &str| v1::RegisterRequest { password: password.to_owned(), ..register() };
    assert_eq!(violations(&request("e\u{301}\ttab")), []);
    assert_eq!(violations(&request("a\0b")), one("password", "text.nul"));
    assert_eq!(violations(&request("")), one("password", "string.min_len"));
    assert_eq!(violations(&request(&"é".repeat(513))), one("password", "string.max_bytes"));
}

#[test]
fn takes_a_branch_as_its_repository_calls_it() {
    let request =
        |branch: &str| v1::RepoSyncResult { default_branch: branch.to_owned(), ..Default::default() };
    assert_eq!(violations(&request("cafe\u{301}\u{202e}")), []);
    assert_eq!(violations(&request("a\0b")), one("default_branch", "text.nul"));
}

#[test]
fn counts_characters_and_bytes_apart() {
    let named = |name: String| v1::UpdateMeRequest { display_name: name };
    assert_eq!(violations(&named("é".repeat(100))), []);
    assert_eq!(violations(&named("é".repeat(101))), one("display_name", "string.max_len"));
    assert_eq!(violations(&named(String::new())), one("display_name", "string.min_len"));
}

#[test]
fn refuses_enum_values_that_are_unknown_or_not_allowed() {
    let login = |platform| v1::LoginRequest {
        email: "a@example.com".to_owned(),
        password: "x".to_owned(),
        device_name: "phone".to_owned(),
        platform,
    };
    assert_eq!(violations(&login(v1::Platform::Ios.into())), []);
    assert_eq!(violations(&login(0)), one("platform", "enum.not_in"));
    assert_eq!(violations(&login(99)), one("platform", "enum.defined_only"));
    assert_eq!(violations(&login(-1)), one("platform", "enum.defined_only"));
    // Without an annotation, too: alone and in a list.
    assert_eq!(violations(&v1::Job { kind: 77, ..Default::default() }), one("kind", "enum.defined_only"));
    let worker = v1::WorkerInfo { kinds: vec![1, 77], ..Default::default() };
    assert_eq!(violations(&worker), one("kinds[1]", "enum.defined_only"));
}

#[test]
fn checks_an_optional_field_only_when_it_is_set() {
    let mut request = create_preview();
    request.lifetime_secs = 599;
    request.device_id = "mine".to_owned();
    let expected = [("device_id".to_owned(), "string.uuid"), ("lifetime_secs".to_owned(), "uint.gte")];
    assert_eq!(violations(&request), expected);
    request.device_id = UUID.to_owned();
    request.lifetime_secs = 1801;
    assert_eq!(violations(&request), one("lifetime_secs", "uint.lte"));
}

#[test]
fn names_the_place_inside_messages_lists_and_oneofs() {
    let mut request = create_preview();
    let files = &mut request.manifest.as_mut().unwrap().files;
    files.push(v1::ManifestFile { path: "a".to_owned(), size: 52_428_801, sha256: vec![0; 31] });
    let expected = [
        ("manifest.files[1].size".to_owned(), "uint.lte"),
        ("manifest.files[1].sha256".to_owned(), "bytes.len"),
    ];
    assert_eq!(violations(&request), expected);

    request.manifest = None;
    assert_eq!(violations(&request), one("manifest", "required"));

    let ack = v1::LeaseAck { lease_token: vec![1; 15], accepted: true };
    let session = v1::SessionRequest {
        messages: vec![
            v1::WorkerMessage { kind: None },
            v1::WorkerMessage { kind: Some(Kind::LeaseAck(ack)) },
        ],
    };
    assert_eq!(violations(&session), one("messages[1].lease_ack.lease_token", "bytes.len"));
}

#[test]
fn requires_a_member_of_a_required_oneof() {
    let commit = |outcome| v1::CommitRequest {
        job_id: UUID.to_owned(),
        lease_token: vec![0; 16],
        commit_id: UUID.to_owned(),
        outcome,
    };
    assert_eq!(violations(&commit(None)), one("outcome", "required"));
    let verified = v1::PreviewVerifyResult { verified: vec![vec![0; 32], vec![0; 33]], rejected: vec![] };
    let outcome = Some(Outcome::PreviewVerify(verified));
    assert_eq!(violations(&commit(outcome)), one("preview_verify.verified[1]", "bytes.len"));
}

#[test]
fn bounds_lists() {
    let request = |count: usize| v1::RequestUploadsRequest {
        preview_id: UUID.to_owned(),
        sha256: vec![vec![0; 32]; count],
    };
    assert_eq!(violations(&request(0)), one("sha256", "repeated.min_items"));
    assert_eq!(violations(&request(200)), []);
    assert_eq!(violations(&request(201)), one("sha256", "repeated.max_items"));
}

#[test]
fn stops_after_a_bounded_number_of_violations() {
    let request = v1::RequestUploadsRequest { preview_id: UUID.to_owned(), sha256: vec![vec![]; 200] };
    assert_eq!(violations(&request).len(), VIOLATIONS_MAX);
}

#[test]
fn never_repeats_the_value() {
    let request = v1::RegisterRequest {
        email: "secret\u{7}secret".to_owned(),
        password: "secret\0".to_owned(),
        display_name: "secret".repeat(30),
    };
    let found = validate(&request).unwrap_err();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|violation| !format!("{violation:?}").contains("secret")));
}
