//! What `--json` prints, as `--help` says it and the tests hold it.
//!
//! The notation: `uuid`, `time` (RFC 3339), `text`, `number` and `bool`; `"a"|"b"` is one of these texts;
//! `[x]` any number of them; `x?` may be null; a capitalised name stands for the shape that follows it. A new
//! field may appear at any time; none goes away or changes its meaning.

/// The end of a command's help: examples, and the documents that it prints.
pub(crate) fn help(examples: &str, document: &str, shapes: &[Shape]) -> String {
    let mut help = format!("Examples:\n{examples}\n\nWith --json:\n  {document}");
    for (name, shape) in shapes {
        help.push_str(&format!("\n  {name} = {shape}"));
    }
    help
}

/// A shape that several documents have, with its name.
pub(crate) type Shape = (&'static str, &'static str);

pub(crate) const ACCOUNT: Shape =
    ("ACCOUNT", "{\"user_id\": uuid, \"session_id\": uuid, \"device_id\": uuid, \"persistent\": bool}");

pub(crate) const ME: Shape = (
    "ME",
    "{\"id\": uuid, \"email\": text, \"display_name\": text,\n    \
     \"role\": \"user\"|\"admin\"|\"service\"|\"unknown\", \"personal_team_id\": uuid, \"created_at\": time,\n    \
     \"session\": ACCOUNT}",
);

pub(crate) const TEAM: Shape =
    ("TEAM", "{\"id\": uuid, \"name\": text, \"personal\": bool, \"role\": ROLE, \"created_at\": time}");

pub(crate) const ROLE: Shape = ("ROLE", "\"owner\"|\"admin\"|\"member\"|\"guest\"|\"unknown\"");

pub(crate) const MEMBER: Shape = (
    "MEMBER",
    "{\"team_id\": uuid, \"user_id\": uuid, \"display_name\": text, \"role\": ROLE, \"joined_at\": time}",
);

pub(crate) const INVITATION: Shape = (
    "INVITATION",
    "{\"id\": uuid, \"team_id\": uuid, \"team_name\": text, \"role\": ROLE,\n    \
     \"created_at\": time, \"expires_at\": time}",
);

pub(crate) const PROJECT: Shape = (
    "PROJECT",
    "{\"id\": uuid, \"team_id\": uuid, \"name\": text, \"repository_url\": text?,\n    \
     \"mirror_state\": \"unlinked\"|\"pending\"|\"ready\"|\"failed\"|\"unknown\",\n    \
     \"head_commit\": text?, \"default_branch\": text?, \"mirror_bytes\": number,\n    \
     \"synced_at\": time?, \"created_at\": time}",
);

pub(crate) const JOB: Shape = (
    "JOB",
    "{\"id\": uuid, \"kind\": \"repo_sync\"|\"preview_verify\"|\"cleanup\"|\"unknown\",\n    \
     \"state\": \"queued\"|\"running\"|\"cancelling\"|\"succeeded\"|\"failed\"|\"cancelled\"|\"unknown\",\n    \
     \"team_id\": uuid?, \"project_id\": uuid?, \"attempts\": number, \"failure\": text?,\n    \
     \"progress\": PROGRESS?, \"created_at\": time, \"started_at\": time?, \"finished_at\": time?}",
);

pub(crate) const PROGRESS: Shape = (
    "PROGRESS",
    "{\"phase\": \"preparing\"|\"counting\"|\"receiving\"|\"resolving\"|\n    \
     \"verifying\"|\"publishing\"|\"unknown\", \"done\": number, \"total\": number, \"bytes\": number}",
);

pub(crate) const ENTRY: Shape =
    ("ENTRY", "{\"path\": text, \"kind\": KIND, \"size\": number, \"object_id\": text}");

pub(crate) const KIND: Shape =
    ("KIND", "\"file\"|\"executable\"|\"directory\"|\"symlink\"|\"submodule\"|\"unknown\"");

pub(crate) const FILE: Shape =
    ("FILE", "{\"size\": number, \"object_id\": text, \"binary\": bool, \"kind\": KIND, \"commit\": text}");

pub(crate) const COMMIT: Shape = (
    "COMMIT",
    "{\"id\": text, \"parent_ids\": [text], \"author_name\": text, \"authored_at\": time?,\n    \
     \"committed_at\": time?, \"subject\": text, \"body\": text, \"shortened\": bool}",
);

pub(crate) const PREVIEW: Shape = (
    "PREVIEW",
    "{\"id\": uuid, \"project_id\": uuid,\n    \
     \"state\": \"uploading\"|\"verifying\"|\"ready\"|\"failed\"|\"expired\"|\"revoked\"|\"unknown\",\n    \
     \"device_id\": uuid?, \"platform\": \"desktop\"|\"ios\"|\"android\"|\"web\"|\"unknown\",\n    \
     \"manifest_digest\": text, \"file_count\": number, \"total_bytes\": number,\n    \
     \"verify_job_id\": uuid?, \"rejected_paths\": [text], \"created_at\": time, \"expires_at\": time}",
);

pub(crate) const NOTIFICATION: Shape = (
    "NOTIFICATION",
    "{\"id\": uuid, \"sequence\": number, \"kind\": \"device_added\"|\"session_revoked\"|\n    \
     \"invited\"|\"member_joined\"|\"repository_synced\"|\"repository_sync_failed\"|\n    \
     \"preview_ready\"|\"preview_failed\"|\"unknown\", \"text\": text, \"team_id\": uuid?,\n    \
     \"project_id\": uuid?, \"subject_id\": uuid?, \"read\": bool, \"created_at\": time}",
);

pub(crate) const SETTING: Shape = (
    "SETTING",
    "{\"name\": text, \"value\": text?, \"source\": \"option\"|\"environment\"|\"file\"|\"default\"}",
);
