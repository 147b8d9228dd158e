//! Which crate may depend on which, from the manifests.

use std::{collections::BTreeSet, fs};

use crate::source::repository;

/// Crate, and the members of the workspace that it may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 7] = [
    ("proto", &[]),
    ("migrations", &[]),
    ("sdk-rust", &["hivesync-proto"]),
    ("sdk-ffi", &["hivesync"]),
    ("workers", &["hivesync", "hivesync-proto"]),
    // `hivesync-sdk` is the package `hivesync`, under a name that the binary does not have.
    // The library itself knows neither it nor `hivesync-workers`: see the rule on the binary's neighbours.
    ("server", &["hivesync-sdk", "hivesync-migrations", "hivesync-proto", "hivesync-workers"]),
    ("tests", &["hivesync", "hivesync-proto", "hivesync-server", "hivesync-workers"]),
];

fn members_in(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.keys())
        .filter(|name| name.starts_with("hivesync"))
        .cloned()
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    for (member, allowed) in MAY_DEPEND_ON {
        let path = repository().join(member).join("Cargo.toml");
        for dependency in members_in(&fs::read_to_string(&path).expect("readable")) {
            assert!(allowed.contains(&dependency.as_str()), "{member} must not depend on {dependency}");
        }
    }
}

#[test]
fn a_dependency_is_seen() {
    let found = members_in("[dependencies]\nhivesync.workspace = true\nserde = '1'\n");
    assert_eq!(found, BTreeSet::from(["hivesync".to_owned()]));
}

#[test]
fn every_member_has_its_line() {
    let manifest: toml::Table =
        fs::read_to_string(repository().join("Cargo.toml")).expect("readable").parse().expect("TOML");
    let members: BTreeSet<&str> = manifest["workspace"]["members"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert_eq!(members, MAY_DEPEND_ON.iter().map(|(member, _)| *member).collect());
}
