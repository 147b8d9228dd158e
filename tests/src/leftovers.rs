//! What must not be left over: everything that an installation stores, looked at from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hivesync_server::{app, base::clock::Clock};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, QueryResult, Statement, TryGetable};
use uuid::Uuid;

use crate::process::Installation;

/// How long work that was begun may go on, and how often to look whether it does: rows raise no event outside of
/// the server.
const SETTLE_TRIES: u32 = 1_200;
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// More than anything is kept for, and rounds of the sweeps that are as many as there is to do.
const FAR_AHEAD: Duration = Duration::from_secs(70 * 24 * 60 * 60);
const SWEEPS: u32 = 8;
/// More than an object outlives its mark.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10 * 60);

/// What is still at work.
const AT_WORK: [&str; 2] =
    ["SELECT count(*) FROM jobs WHERE state IN (1, 2, 3)", "SELECT count(*) FROM outbox_events"];

/// Rows that contradict each other, when nothing is at work.
const CONTRADICTIONS: [(&str, &str); 14] = [
    (
        "a job without its payload",
        "SELECT count(*) FROM jobs WHERE id NOT IN (SELECT job_id FROM job_payloads)",
    ),
    ("an attempt without an end", "SELECT count(*) FROM job_attempts WHERE ended_at IS NULL"),
    (
        "a lease of a job that has ended",
        "SELECT count(*) FROM jobs WHERE lease_token IS NOT NULL OR lease_until IS NOT NULL",
    ),
    (
        "a preview that waits for a job that has ended",
        "SELECT count(*) FROM previews JOIN jobs ON jobs.id = verify_job_id WHERE previews.state = 'verifying'",
    ),
    (
        "a preview whose job is gone",
        "SELECT count(*) FROM previews WHERE verify_job_id NOT IN (SELECT id FROM jobs)",
    ),
    (
        "a preview that can be opened and has no files",
        "SELECT count(*) FROM previews WHERE state = 'ready' AND NOT EXISTS (SELECT 1 FROM preview_manifests m \
         JOIN preview_files f ON f.manifest_id = m.id \
         WHERE m.project_id = previews.project_id AND m.digest = manifest_digest)",
    ),
    (
        "a content that no manifest holds",
        "SELECT count(*) FROM preview_blobs WHERE id NOT IN (SELECT blob_id FROM preview_files)",
    ),
    (
        "an object that is in use and to be deleted",
        "SELECT count(*) FROM preview_blobs WHERE object_key IN (SELECT object_key FROM preview_doomed_objects)",
    ),
    (
        "a mirror that waits for a sync that has ended",
        "SELECT count(*) FROM projects WHERE mirror_state = 'syncing'",
    ),
    (
        "a deleted project whose mirror waits to be removed",
        "SELECT count(*) FROM projects WHERE cleanup_due_at IS NOT NULL",
    ),
    (
        "a sequence of notifications with a gap",
        "SELECT count(*) FROM notification_sequences s \
         WHERE s.last <> (SELECT count(*) FROM notifications n WHERE n.user_id = s.user_id)",
    ),
    (
        "an account without its password or its team",
        "SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM credentials) \
         OR personal_team_id NOT IN (SELECT id FROM teams)",
    ),
    (
        "a team without an owner",
        "SELECT count(*) FROM teams WHERE id NOT IN (SELECT team_id FROM members WHERE role = 'owner')",
    ),
    (
        "an audit log that is not as long as its head says",
        "SELECT count(*) FROM audit_head WHERE sequence <> (SELECT count(*) FROM audit_entries)",
    ),
];

/// What nothing is kept in for ever.
const PASSING: [&str; 8] = [
    "previews",
    "preview_manifests",
    "preview_files",
    "preview_blobs",
    "preview_doomed_objects",
    "idempotency_keys",
    "sessions",
    "outbox_events",
];

/// What may stand in these directories. `*` is anything.
const DATA_DIR: [&str; 8] =
    ["blobs", "environment", "hivesync.db", "hivesync.db-shm", "hivesync.db-wal", "repos", "secrets", "tmp"];
const MIRROR: [&str; 3] = ["git", "lock", "meta.json"];
const GIT_DIR: [&str; 5] = ["HEAD", "config", "objects", "packed-refs", "refs"];
const OBJECTS: [&str; 2] = ["info", "pack"];

/// The rows, objects and files of an installation.
pub struct Stored {
    database_url: String,
    objects: PathBuf,
    data_dir: PathBuf,
}

impl Stored {
    /// What is stored in `data_dir`, unless the rows or the objects are elsewhere.
    #[must_use]
    pub fn new(data_dir: &Path, database_url: Option<&str>, objects: Option<&Path>) -> Self {
        let sqlite = || format!("sqlite://{}?mode=ro", data_dir.join("hivesync.db").display());
        Self {
            database_url: database_url.map_or_else(sqlite, str::to_owned),
            objects: objects.map_or_else(|| data_dir.join("blobs/objects"), Path::to_owned),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Waits until every job has ended and every event is delivered.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn settle(&self) {
        let rows = self.rows().await;
        for _ in 0..SETTLE_TRIES {
            let mut at_work = 0;
            for question in AT_WORK {
                at_work += rows.count(question).await;
            }
            if at_work == 0 {
                return;
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
        panic!("work that was begun does not come to an end");
    }

    /// Makes sure that, once nothing is at work any more, everything fits together and nothing is left over.
    ///
    /// # Panics
    /// If not, saying what it is.
    pub async fn check(&self) {
        self.settle().await;
        let found = self.leftovers().await;
        assert!(found.is_empty(), "left over: {found:#?}");
    }

    /// What does not fit together, or is left over, by name.
    pub async fn leftovers(&self) -> Vec<String> {
        let rows = self.rows().await;
        let mut found = Vec::new();
        for (name, question) in CONTRADICTIONS {
            let count = rows.count(question).await;
            if count > 0 {
                found.push(format!("{name} ({count} times)"));
            }
        }
        self.compare_objects(&rows, &mut found).await;
        self.compare_files(&rows, &mut found).await;
        found
    }

    /// Makes sure that nothing is left of what is kept for a while.
    ///
    /// # Panics
    /// If something is, saying what.
    pub async fn check_all_gone(&self) {
        self.check().await;
        let rows = self.rows().await;
        let mut found = Vec::new();
        for table in PASSING {
            let count = rows.count(&format!("SELECT count(*) FROM {table}")).await;
            if count > 0 {
                found.push(format!("{count} rows of {table}"));
            }
        }
        found.extend(self.object_names().into_iter().map(|object| format!("the object {object}")));
        assert!(found.is_empty(), "left over: {found:#?}");
    }

    async fn compare_objects(&self, rows: &Rows, found: &mut Vec<String>) {
        let there = self.object_names();
        let used: BTreeMap<String, String> = rows
            .all("SELECT object_key, state FROM preview_blobs WHERE object_key IS NOT NULL", |row| {
                (text(row, 0), text(row, 1))
            })
            .await;
        let doomed: BTreeSet<String> =
            rows.all("SELECT object_key FROM preview_doomed_objects", |row| text(row, 0)).await;
        let unknown = there.iter().filter(|name| !used.contains_key(*name) && !doomed.contains(*name));
        found.extend(unknown.map(|name| format!("the object {name}, which no row names")));
        let arrived = used.iter().filter(|(_, state)| *state != "staged");
        let lost = arrived.filter(|(name, _)| !there.contains(*name));
        found.extend(
            lost.map(|(name, state)| format!("a row of the object {name}, which is {state} and gone")),
        );
    }

    async fn compare_files(&self, rows: &Rows, found: &mut Vec<String>) {
        expect_only(&self.data_dir, &DATA_DIR, found);
        for worker in entries(&self.data_dir.join("tmp")) {
            expect_only(&worker, &[], found);
        }
        for server in entries(&self.data_dir.join("blobs/incoming")) {
            expect_only(&server, &[], found);
        }
        let live: BTreeSet<String> = rows
            .all("SELECT id FROM projects WHERE deleted_at IS NULL", |row| {
                get::<Uuid>(row, 0).hyphenated().to_string()
            })
            .await;
        for mirror in entries(&self.data_dir.join("repos")) {
            if live.contains(&name(&mirror)) {
                expect_only(&mirror, &MIRROR, found);
                expect_only(&mirror.join("git"), &GIT_DIR, found);
                expect_only(&mirror.join("git/objects"), &OBJECTS, found);
                expect_whole_packs(&mirror.join("git/objects/pack"), found);
            } else {
                found.push(format!("{}, which is no project's mirror", mirror.display()));
            }
        }
    }

    /// The names of all objects, by where they are.
    fn object_names(&self) -> BTreeSet<String> {
        let folders = entries(&self.objects).into_iter().filter(|folder| folder.is_dir());
        folders
            .flat_map(|folder| entries(&folder).into_iter().map(move |object| name(&folder) + &name(&object)))
            .collect()
    }

    async fn rows(&self) -> Rows {
        Rows(Database::connect(&self.database_url).await.expect("the database can be read"))
    }
}

/// Has the sweeps of the server run beside it, as they would long after everything has gone out of use.
///
/// # Panics
/// If a sweep fails.
pub async fn sweep_far_ahead(installation: &Installation) {
    let clock = Clock::system();
    clock.advance(FAR_AHEAD);
    let base = installation.beside(clock.clone()).await;
    for _ in 0..SWEEPS {
        app::sweep(base.clone()).await.expect("the sweep ends");
        clock.advance(BETWEEN_SWEEPS);
    }
    base.tasks.stop(BETWEEN_SWEEPS).await;
    base.db.clone().close().await;
}

struct Rows(DatabaseConnection);

impl Rows {
    async fn count(&self, question: &str) -> i64 {
        let counts: Vec<i64> = self.all(question, |row| get(row, 0)).await;
        counts.iter().sum()
    }

    async fn all<T, C: FromIterator<T>>(&self, question: &str, read: impl Fn(&QueryResult) -> T) -> C {
        let question = Statement::from_string(self.0.get_database_backend(), question);
        let rows = self.0.query_all_raw(question).await.expect("the rows can be read");
        rows.iter().map(read).collect()
    }
}

fn get<T: TryGetable>(row: &QueryResult, column: usize) -> T {
    row.try_get_by_index(column).expect("a column of this type")
}

fn text(row: &QueryResult, column: usize) -> String {
    get(row, column)
}

/// What is in a directory; nothing if there is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("readable").path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn expect_only(directory: &Path, names: &[&str], found: &mut Vec<String>) {
    let others = entries(directory).into_iter().filter(|entry| !names.contains(&name(entry).as_str()));
    found.extend(others.map(|entry| format!("the file {}", entry.display())));
}

/// A pack is there with its index, and nothing that was to become one.
fn expect_whole_packs(packs: &Path, found: &mut Vec<String>) {
    for entry in entries(packs) {
        let is_pack =
            ["pack", "idx", "rev"].iter().any(|known| entry.extension().is_some_and(|e| e == *known));
        let is_whole = entry.with_extension("pack").is_file() && entry.with_extension("idx").is_file();
        if !is_pack || !is_whole {
            found.push(format!("the file {}", entry.display()));
        }
    }
}
