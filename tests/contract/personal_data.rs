//! `server/PERSONAL_DATA.md` against the schema: every column has an entry, and every table an owner who answers for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hivesync_proto::v1 as pb;
use hivesync_server::app;
use hivesync_tests::{
    backend::Backend,
    on_each_backend,
    rows::{self, Column},
    world::World,
};
use uuid::Uuid;

/// Parts of names that give a column about a person away.
const TELLING: [&str; 10] = [
    "address",
    "email",
    "actor",
    "device",
    "display_name",
    "invited_by",
    "password",
    "publisher",
    "requested_by",
    "user",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One line of the document, or a part of one.
#[derive(Debug)]
struct Entry {
    slice: String,
    is_personal: bool,
}

/// The entries of the document, by column.
fn entries(text: &str) -> BTreeMap<Column, Entry> {
    let (mut slice, mut entries) = (String::new(), BTreeMap::new());
    let mut enter = |table: &str, name: &str, slice: &str, is_personal| {
        let column = Column { table: table.to_owned(), name: name.to_owned() };
        let earlier = entries.insert(column, Entry { slice: slice.to_owned(), is_personal });
        assert!(earlier.is_none(), "{table}.{name} stands twice");
    };
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut slice);
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 5, "{line}");
            assert!(cells[..4].iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
            let (table, name) = cells[0].trim_end_matches('`').split_once('.').expect("table.column");
            enter(table, name, &slice, true);
        } else if let Some((table, names)) = line.strip_prefix("- `").and_then(|rest| rest.split_once("`: "))
        {
            names.split(", ").for_each(|name| enter(table, name, &slice, false));
        }
    }
    entries
}

fn document() -> BTreeMap<Column, Entry> {
    entries(&fs::read_to_string(repository().join("server/PERSONAL_DATA.md")).expect("readable"))
}

async fn every_column_has_an_entry(backend: Backend) {
    let world = World::without_worker(backend, &[]).await;
    let schema: BTreeSet<Column> = rows::columns(&world).await.into_iter().collect();
    assert!(schema.len() > 100, "only {} columns were found", schema.len());
    let document: BTreeSet<Column> = document().into_keys().collect();
    let names = |columns: Vec<&Column>| {
        columns.iter().map(|column| format!("{}.{}", column.table, column.name)).collect::<Vec<_>>()
    };
    let missing = names(schema.difference(&document).collect());
    assert!(missing.is_empty(), "server/PERSONAL_DATA.md says nothing of {missing:?}");
    let stale = names(document.difference(&schema).collect());
    assert!(stale.is_empty(), "server/PERSONAL_DATA.md speaks of what is not there: {stale:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_column_has_an_entry_embedded() {
    every_column_has_an_entry(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_column_has_an_entry_production() {
    if Backend::Production.available() {
        every_column_has_an_entry(Backend::Production).await;
    }
}

/// A project's address may be changed, so nothing else keeps it.
async fn the_address_of_a_repository_stands_with_its_project(mut world: World) {
    world.stop_worker().await;
    let ada = world.caller("ada").await;
    let project = ada.project("site", "https://git.example.com/ada-lovelace/diary").await;
    let request =
        pb::SyncRepositoryRequest { project_id: project.id, idempotency_key: Uuid::new_v4().to_string() };
    let _: pb::Job = ada.get("hivesync.v1.ProjectService/SyncRepository", request).await;
    let rows = rows::snapshot(&world, |_| false).await;
    assert_eq!(rows["job_payloads"].len(), 1);
    let holds_it = |lines: &Vec<String>| lines.iter().any(|line| line.contains("ada-lovelace"));
    let tables: Vec<&String> =
        rows.iter().filter(|(_, lines)| holds_it(lines)).map(|(table, _)| table).collect();
    assert_eq!(tables, ["projects"]);
}

async fn an_event_that_cannot_be_delivered_is_forgotten(world: World) {
    let now = world.app().base().clock.now();
    for (payload, age) in [("old", Duration::from_secs(8 * 24 * 60 * 60)), ("young", Duration::from_secs(60))]
    {
        let happened_at = (now - age).as_micros();
        let event = format!(
            "INSERT INTO outbox_events (id, kind, payload, correlation_id, attempts, due_at, created_at)
             VALUES ({}, 'test', '{payload}', 'correlation', 20, {happened_at}, {happened_at})",
            rows::literal(&world, Uuid::new_v4())
        );
        rows::change(&world, &event).await;
    }
    app::sweep(world.app().base().clone()).await.unwrap();
    let rows = rows::snapshot(&world, |column| column.name != "payload").await;
    assert_eq!(rows["outbox_events"].len(), 1);
    assert!(rows["outbox_events"][0].contains("young"));
}

on_each_backend!(
    the_address_of_a_repository_stands_with_its_project,
    an_event_that_cannot_be_delivered_is_forgotten,
);

#[test]
fn what_is_called_like_a_person_is_about_one() {
    for (column, entry) in document() {
        let is_telling = TELLING.iter().any(|word| column.name.contains(word));
        assert!(entry.is_personal || !is_telling, "{column:?} is said to be about nobody");
    }
}

/// The slice that answers for a table is the one that reads and writes it.
#[test]
fn every_table_has_one_owner() {
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (column, entry) in document() {
        owners.entry(column.table).or_default().insert(entry.slice);
    }
    for (table, slices) in owners {
        let [slice] = slices.iter().collect::<Vec<_>>()[..] else {
            panic!("{table} has the owners {slices:?}")
        };
        let domain = repository().join("server/src/domain");
        let places = match slice.as_str() {
            "base" => vec![repository().join("server/src/base")],
            slice => vec![domain.join(slice).join("store"), domain.join(slice).join("store.rs")],
        };
        let names_it = places.iter().any(|place| any_file(place, &|text| names(text, &table)));
        assert!(names_it, "{slice} does not keep {table}");
    }
}

fn names(text: &str, table: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == table)
}

fn any_file(place: &Path, holds: &dyn Fn(&str) -> bool) -> bool {
    match fs::read_dir(place) {
        Ok(entries) => {
            entries.map(|entry| entry.expect("readable").path()).any(|path| any_file(&path, holds))
        }
        Err(_) => fs::read_to_string(place).is_ok_and(|text| holds(&text)),
    }
}

#[test]
fn the_document_is_read() {
    let entries =
        entries("## users\n| `users.email` | the user | signs in | account |\n- `users`: id, role\n");
    let read: Vec<_> =
        entries.iter().map(|(column, entry)| (column.name.as_str(), entry.is_personal)).collect();
    assert_eq!(read, [("email", true), ("id", false), ("role", false)]);
    assert!(entries.values().all(|entry| entry.slice == "users"));
}
