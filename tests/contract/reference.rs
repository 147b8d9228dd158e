//! The references that are made of the code: what can be configured, and why calls fail. Read by people; compared here.

use std::{fmt::Write as _, process::Command};

use hivesync::jobs::{Job, JobKind, JobState};
use hivesync_proto::v1::ErrorReason;
use hivesync_server::base::{config::settings, status};
use hivesync_tests::binary;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{descriptors, errors, golden};

const MADE: &str = "This file is made of the code, and compared with it in every run of the tests; to make it anew: \
                    `HIVESYNC_TEST_BLESS=1 cargo test -p hivesync-tests --test contract reference`.";

#[test]
fn the_configuration_is_described() {
    let mut text = format!(
        "# What can be configured\n\n{MADE}\n\n\
         A setting is a variable of the environment, or a line `NAME = \"value\"` in the TOML file that `--config` or \
         `HIVESYNC_CONFIG` names; the environment wins. Of a setting marked with *, the value may stand in a file \
         instead, which `NAME_FILE` names. What is logged is said by `--log` or `HIVESYNC_LOG`, in the syntax of \
         `RUST_LOG`.\n\n`hivesync check` says everything that is wrong with a configuration, each fault with its \
         mend and none with a value. Workers have [settings of their own](../workers/CONFIGURATION.md).\n"
    );
    for section in settings::REFERENCE {
        writeln!(text, "\n## {}\n", section.title).expect("memory");
        text.push_str(
            "| setting | takes | without it, in local mode | in staging and production | what it does |\n",
        );
        text.push_str("|---|---|---|---|---|\n");
        for setting in section.settings {
            let star = if setting.is_secret { " *" } else { "" };
            let elsewhere = if setting.elsewhere == setting.local { "the same" } else { setting.elsewhere };
            let settings::Setting { name, takes, local, what, .. } = setting;
            writeln!(text, "| `{name}`{star} | {takes} | {local} | {elsewhere} | {what} |").expect("memory");
        }
    }
    golden::assert_same("server/CONFIGURATION.md", &text);
}

#[test]
fn the_workers_configuration_is_described() {
    let help =
        Command::new(binary::path("hivesync-worker")).arg("--help").env_clear().output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let text = format!(
        "# What can be configured at a worker\n\n{MADE}\n\n\
         The secret is `WORKER_SHARED_SECRET`, or stands in the file that `WORKER_SHARED_SECRET_FILE` names: what is on \
         a command line, every process of the machine can read. What is logged is said by `RUST_LOG`.\n\n\
         ```\n{}\n```\n",
        help.join("\n").trim_end()
    );
    golden::assert_same("workers/CONFIGURATION.md", &text);
}

#[test]
fn the_errors_are_described() {
    let mut text = format!(
        "# Why calls fail\n\n{MADE}\n\n\
         A refused call carries a gRPC status with a public text, and in its details (`grpc-status-details-bin`) a \
         `google.rpc.ErrorInfo` of the domain `{}` whose `reason` is one of these names, and a `google.rpc.RequestInfo` \
         with the correlation ID, which stands in the metadata entry `{}` too. It is all that a report needs.\n\n\
         Reasons marked with * refuse no call: they say why a job failed, in `Job.failure`. The kind is what our clients, \
         in every language, make of the reason.\n\n\
         | reason | gRPC code | kind | may a repeat help? | public text | what it means, and what to do |\n\
         |---|---|---|---|---|---|\n",
        status::ERROR_DOMAIN,
        status::CORRELATION_ID
    );
    for reason in errors::reasons() {
        let rule = status::rule(reason);
        let star = if errors::OF_JOBS_ONLY.contains(&reason) { " *" } else { "" };
        let repeat = if rule.retryable { "yes" } else { "no" };
        let (name, kind, what) = (status::name(reason), kind(reason), what_to_do(reason));
        writeln!(text, "| `{name}`{star} | {:?} | `{kind}` | {repeat} | {} | {what} |", rule.code, rule.text)
            .expect("memory");
    }
    golden::assert_same("proto/ERRORS.md", &text);
}

/// What the client makes of a reason, in the one way that needs no server to give it: as what a job failed for.
fn kind(reason: ErrorReason) -> &'static str {
    let failed = Job {
        id: Uuid::nil(),
        kind: JobKind::RepoSync,
        state: JobState::Failed,
        team_id: None,
        project_id: None,
        attempts: 1,
        failure: Some(reason),
        progress: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        started_at: None,
        finished_at: None,
        joined: false,
    };
    failed.into_result().expect_err("it failed").code()
}

/// The comment of the contract at a reason, in one line.
fn what_to_do(reason: ErrorReason) -> String {
    let comment = descriptors::reason_comment(reason.as_str_name());
    let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(line.matches(". ").count() >= 1 && line.ends_with('.'), "{reason:?} says not what to do: {line}");
    line
}
