//! What stands in the database, without knowing what it means.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use uuid::Uuid;

use crate::world::World;

/// A column of the schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// The table.
    pub table: String,
    /// The column in it.
    pub name: String,
}

/// Every column of the schema, without the record of migrations.
pub async fn columns(world: &World) -> Vec<Column> {
    let sql = match backend(world) {
        DbBackend::Sqlite => {
            "SELECT tables.name AS parent, columns.name AS name
             FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'"
        }
        _ => {
            "SELECT table_name::text AS parent, column_name::text AS name
             FROM information_schema.columns WHERE table_schema = 'public'"
        }
    };
    let rows = query(world, sql).await;
    let text = |row: &sea_orm::QueryResult, name| row.try_get::<String>("", name).expect("a name");
    let columns = rows.iter().map(|row| Column { table: text(row, "parent"), name: text(row, "name") });
    let mut columns: Vec<Column> = columns.filter(|column| column.table != "seaql_migrations").collect();
    columns.sort();
    columns
}

/// Every row as text, by table, without the columns that `is_left_out` names.
pub async fn snapshot(world: &World, is_left_out: impl Fn(&Column) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in columns(world).await.into_iter().filter(|column| !is_left_out(column)) {
        tables.entry(column.table).or_default().push(column.name);
    }
    let mut rows = BTreeMap::new();
    for (table, columns) in tables {
        let text = |column: &String| match backend(world) {
            DbBackend::Sqlite => format!("'{column}=' || quote(\"{column}\")"),
            _ => format!("'{column}=' || coalesce(\"{column}\"::text, 'NULL')"),
        };
        let columns: Vec<String> = columns.iter().map(text).collect();
        let sql = format!("SELECT {} AS line FROM \"{table}\" ORDER BY 1", columns.join(" || ' ' || "));
        let found = query(world, &sql).await;
        let lines = found.iter().map(|row| row.try_get::<String>("", "line").expect("text"));
        rows.insert(table, lines.collect());
    }
    rows
}

/// Waits until every event was delivered.
pub async fn settle(world: &World) {
    loop {
        let rows = query(world, "SELECT 'x' AS line FROM outbox_events LIMIT 1").await;
        if rows.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Changes what stands in the database, behind the back of the server.
pub async fn change(world: &World, sql: &str) {
    let connection = world.app().base().db.migration_connection();
    connection.execute_unprepared(sql).await.expect("the database answers");
}

/// How an identifier is written in a statement.
#[must_use]
pub fn literal(world: &World, id: Uuid) -> String {
    match backend(world) {
        DbBackend::Sqlite => format!("x'{}'", id.simple()),
        _ => format!("'{id}'"),
    }
}

fn backend(world: &World) -> DbBackend {
    world.app().base().db.backend()
}

async fn query(world: &World, sql: &str) -> Vec<sea_orm::QueryResult> {
    let connection = world.app().base().db.migration_connection();
    let statement = Statement::from_string(backend(world), sql.to_owned());
    connection.query_all_raw(statement).await.expect("the database answers")
}
