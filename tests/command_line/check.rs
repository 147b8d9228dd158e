//! `hivesync check`, which looks and touches nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use hivesync_tests::binary;

use crate::program::Program;

#[test]
fn a_check_leaves_nothing_behind() {
    let program = Program::new();
    let before = names(&program);
    let checked = program.command(binary::path("hivesync")).arg("check").output().expect("it runs");
    let (said, warned) = (text(&checked.stdout), text(&checked.stderr));
    assert!(checked.status.success(), "{said}{warned}");
    assert!(said.contains("local configuration") && said.contains("HIVESYNC_ENV=production"), "{said}");
    assert_eq!(names(&program), before);
}

/// The directory that would be used is judged, although the check does not use it.
#[test]
fn a_check_knows_the_directory_of_the_first_start() {
    let open = Program::new();
    let data_dir = open.home().join("data");
    fs::create_dir(&data_dir).expect("a directory");
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).expect("a mode");
    let file = open.home().join("file");
    fs::write(&file, "").expect("a file");
    let mut homeless = Program::new();
    homeless.unset("HOME");
    for (program, data_dir, fault) in [
        (&open, data_dir.as_path(), "DATA_DIR can be read by others"),
        (&homeless, Path::new(""), "DATA_DIR is missing"),
        (&open, &file.join("data"), "DATA_DIR cannot be made"),
    ] {
        let mut check = program.command(binary::path("hivesync"));
        let checked = check.env("DATA_DIR", data_dir).arg("check").output().expect("it runs");
        let said = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(2), "{fault}: {said}");
        assert!(said.contains(fault), "{fault}: {said}");
    }
    assert_eq!(fs::read_dir(&data_dir).expect("a directory").count(), 0);
}

#[test]
fn a_check_says_everything_that_production_lacks() {
    let mut program = Program::new();
    program.set("HIVESYNC_ENV", "production");
    let checked = program.command(binary::path("hivesync")).arg("check").output().expect("it runs");
    assert_eq!(checked.status.code(), Some(2));
    let said = text(&checked.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let [title, faults @ ..] = &lines[..] else { panic!("it says why") };
    assert_eq!(*title, "hivesync: refusing to start:");
    let mut names = Vec::new();
    for fault in faults.chunks(2) {
        let [fault, mend] = fault else { panic!("each fault has its mend: {said}") };
        assert!(mend.trim_start().starts_with("-> "), "{mend}");
        names.push(fault.split_whitespace().next().expect("a name"));
    }
    let expected = [
        "JWT_SECRET",
        "WORKER_SHARED_SECRET",
        "FIELD_KEY",
        "PREVIEW_KEY",
        "TLS_CERT_FILE",
        "PUBLIC_URL",
        "DATABASE_URL",
        "REDIS_URL",
    ];
    assert_eq!(names, expected, "{said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands in the home directory.
fn names(program: &Program) -> Vec<String> {
    let entries = fs::read_dir(program.home()).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}
