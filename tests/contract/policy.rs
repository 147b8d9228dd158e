//! The policy table: every RPC of the contract has a row, and the rows say what was reviewed.

use std::{collections::BTreeSet, fmt::Write as _};

use hivesync_server::{
    domain::access::Permission,
    edge::policy::{Audience, Row, TABLE},
};
use prost_types::method_options::IdempotencyLevel;

use crate::{descriptors, golden};

/// The methods of the contract, with whether they may be repeated and whether they answer with a stream.
fn methods() -> Vec<(String, IdempotencyLevel, bool)> {
    let mut methods = Vec::new();
    for file in descriptors::files() {
        for service in &file.service {
            for method in &service.method {
                let level =
                    method.options.as_ref().map(|options| options.idempotency_level()).unwrap_or_default();
                let route = format!("{}.{}/{}", file.package(), service.name(), method.name());
                methods.push((route, level, method.server_streaming()));
            }
        }
    }
    methods
}

fn row(route: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.route == route)
}

#[test]
fn every_rpc_has_exactly_one_row() {
    let served: BTreeSet<String> = descriptors::served().into_iter().collect();
    let table: Vec<&str> = TABLE.iter().map(|row| row.route).collect();
    assert_eq!(table.iter().map(|route| (*route).to_owned()).collect::<BTreeSet<_>>(), served);
    assert_eq!(table.len(), served.len(), "a row stands twice");
}

#[test]
fn rows_agree_with_the_contract() {
    for (route, level, streaming) in methods() {
        let row = row(&route).expect("every RPC has a row");
        assert_eq!(row.idempotent, level != IdempotencyLevel::IdempotencyUnknown, "{route}: repeatable?");
        assert_eq!(row.streaming, streaming, "{route}: a stream?");
    }
}

/// What changes something leaves an entry in the audit log, unless it is listed here with its reason.
#[test]
fn changes_are_audited() {
    const UNAUDITED: [(&str, &str); 3] = [
        ("hivesync.v1.PreviewService/RequestUploads", "part of the publishing that FinalizePreview records"),
        ("hivesync.v1.NotificationService/MarkNotificationsRead", "a note to oneself"),
        ("hivesync.v1.WorkerService/Release", "gives back what the claim recorded"),
    ];
    for (route, level, _) in methods() {
        let row = row(&route).expect("every RPC has a row");
        let excused = UNAUDITED.iter().any(|(name, _)| *name == route);
        if level != IdempotencyLevel::NoSideEffects && !excused {
            assert!(row.audited, "{route} changes something and is not audited");
        }
    }
}

/// Few calls are for everybody.
#[test]
fn only_these_need_no_sign_in() {
    let open: Vec<&str> =
        TABLE.iter().filter(|row| row.audience == Audience::Public).map(|row| row.route).collect();
    assert_eq!(
        open,
        [
            "hivesync.v1.AuthService/Register",
            "hivesync.v1.AuthService/Login",
            "hivesync.v1.AuthService/Refresh"
        ]
    );
}

#[test]
fn the_table_is_the_reviewed_one() {
    let mut table = String::from(
        "# route | audience | permission | for one's own | rate | proof | repeatable | audited | stream\n",
    );
    let yes = |truth: bool| if truth { "yes" } else { "-" };
    for row in TABLE {
        let name = |permission: Option<Permission>| {
            permission.map_or_else(|| "-".to_owned(), |permission| format!("{permission:?}"))
        };
        writeln!(
            table,
            "{} | {:?} | {} | {} | {:?} | {} | {} | {} | {}",
            row.route,
            row.audience,
            name(row.permission),
            name(row.own),
            row.rate,
            yes(row.device_proof),
            yes(row.idempotent),
            yes(row.audited),
            yes(row.streaming),
        )
        .expect("memory");
    }
    golden::assert_same("tests/contract/policy.golden", &table);
}
