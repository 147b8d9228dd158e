//! A PostgreSQL database of a test's own.

use sea_orm::{ConnectionTrait as _, Database};
use url::Url;
use uuid::Uuid;

/// A database that is dropped with this value.
pub(super) struct OwnDatabase {
    administration: String,
    name: String,
    url: String,
}

impl OwnDatabase {
    /// Creates it on the server of `administration`, which names a database that this one is created from.
    pub(super) async fn create(administration: &str) -> Self {
        let name = format!("hivesync_test_{}", Uuid::new_v4().simple());
        execute(administration, &format!("CREATE DATABASE {name}"))
            .await
            .expect("PostgreSQL creates a database");
        let mut url = Url::parse(administration).expect("an address");
        url.set_path(&name);
        Self { administration: administration.to_owned(), name, url: url.into() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for OwnDatabase {
    /// On a thread of its own, because the test's runtime may be the one that is ending.
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let administration = self.administration.clone();
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(execute(&administration, &statement))
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the test database {} was left behind", self.name);
        }
    }
}

async fn execute(url: &str, statement: &str) -> Result<(), sea_orm::DbErr> {
    let connection = Database::connect(url).await?;
    connection.execute_unprepared(statement).await?;
    connection.close().await
}
