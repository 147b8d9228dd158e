//! The schema, one slice a file. Runs on SQLite and PostgreSQL alike; changes expand first and contract in
//! a later release.
//!
//! Moments are 64-bit integers (microseconds since 1970-01-01T00:00:00Z), identifiers are UUIDs.

pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m0001_base;
mod m0002_audit;
mod m0003_users;
mod m0004_auth;
mod m0005_teams;
mod m0006_jobs;
mod m0007_projects;
mod m0008_previews;
mod m0009_notifications;

/// Every migration, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_base::Migration),
            Box::new(m0002_audit::Migration),
            Box::new(m0003_users::Migration),
            Box::new(m0004_auth::Migration),
            Box::new(m0005_teams::Migration),
            Box::new(m0006_jobs::Migration),
            Box::new(m0007_projects::Migration),
            Box::new(m0008_previews::Migration),
            Box::new(m0009_notifications::Migration),
        ]
    }
}
