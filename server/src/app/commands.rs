//! What the command line does beside a server: migrations, and what only an operator on the machine may do.

use std::sync::Arc;

use hivesync_migrations::{Migrator, MigratorTrait as _};
use url::Url;

use super::{build_base, prepare_data_dir};
use crate::{
    base::{
        actor::PlatformRole,
        clock::Clock,
        config::Config,
        ctx::{Base, Ctx},
        db::Db,
        error::{Error, Result},
        task::Tasks,
    },
    domain::{auth, users},
};

/// What a command works with that does its work beside the server, without listening.
///
/// # Errors
/// Whatever cannot be opened or reached.
pub async fn beside(config: Config, clock: Clock) -> Result<Arc<Base>> {
    prepare_data_dir(&config)?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{}", config.listen.public)).map_err(Error::internal)?,
    };
    build_base(config, clock, &public_url, Tasks::default()).await
}

/// Gives the account with the address `email` another role on the platform.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn set_role(base: Arc<Base>, email: &str, role: PlatformRole) -> Result<()> {
    let ctx = Ctx::system(base, "operator command")?;
    users::set_role(&ctx, &users::Email::new(email), role).await
}

/// Shuts the account with the address `email`, and ends its sessions.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn suspend(base: Arc<Base>, email: &str) -> Result<()> {
    auth::suspend(&Ctx::system(base, "operator command")?, &users::Email::new(email)).await
}

/// Opens an account that was shut.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn reinstate(base: Arc<Base>, email: &str) -> Result<()> {
    auth::reinstate(&Ctx::system(base, "operator command")?, &users::Email::new(email)).await
}

/// Migrations that the database lacks.
///
/// # Errors
/// `UNAVAILABLE` if the database cannot be reached.
pub async fn pending_migrations(config: &Config) -> Result<usize> {
    let db = connect_for_migration(config).await?;
    let pending = Migrator::get_pending_migrations(db.migration_connection()).await?.len();
    db.close().await;
    Ok(pending)
}

/// Brings the database's schema up to date; returns how many migrations that took.
///
/// # Errors
/// `UNAVAILABLE` if the database cannot be reached, `INTERNAL` if a migration fails.
pub async fn migrate(config: &Config) -> Result<usize> {
    let db = connect_for_migration(config).await?;
    let pending = Migrator::get_pending_migrations(db.migration_connection()).await?.len();
    Migrator::up(db.migration_connection(), None).await?;
    db.close().await;
    Ok(pending)
}

async fn connect_for_migration(config: &Config) -> Result<Db> {
    if config.environment.is_local() {
        prepare_data_dir(config)?;
    }
    Db::connect(&config.database).await
}
