//! Idempotency keys: a write that is repeated with its key has one effect.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, entity::prelude::*,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    clock::Timestamp,
    crypto,
    ctx::Ctx,
    db::Tx,
    error::{Error, Reason, Result},
    ids::IdempotencyKey,
};

/// How long a key is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub actor: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: Uuid,
        pub fingerprint: Vec<u8>,
        pub subject: Uuid,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Claims `key` for the caller's write, whose result will be `subject`. Returns the subject of the
/// earlier write if this one was made before; the caller then answers with that.
///
/// The claim is part of the transaction: if the write fails, the key is free again. `request` holds
/// everything that makes the request what it is.
///
/// # Errors
/// `IDEMPOTENCY_KEY_REUSED` if the key came with another request before.
pub async fn claim(
    ctx: &Ctx,
    tx: &Tx,
    key: IdempotencyKey,
    request: &[&str],
    subject: Uuid,
) -> Result<Option<Uuid>> {
    let actor = ctx.user()?.id.0;
    let fingerprint = fingerprint(ctx.call.route, request);
    let claimed = row::Entity::insert(row::ActiveModel {
        actor: Set(actor),
        key: Set(key.0),
        fingerprint: Set(fingerprint.clone()),
        subject: Set(subject),
        created_at: Set(ctx.clock.now()),
    })
    .on_conflict(OnConflict::columns([row::Column::Actor, row::Column::Key]).do_nothing().to_owned())
    .exec_without_returning(&tx.sql())
    .await?;
    if claimed > 0 {
        return Ok(None);
    }
    let earlier = row::Entity::find_by_id((actor, key.0)).one(&tx.sql()).await?;
    match earlier {
        Some(earlier) if crypto::equal(&earlier.fingerprint, &fingerprint) => Ok(Some(earlier.subject)),
        Some(_) => Err(Error::new(Reason::IdempotencyKeyReused)),
        None => Err(Error::new(Reason::Conflict)),
    }
}

/// Forgets keys that are older than [`REMEMBERED`].
///
/// # Errors
/// If the database does not answer.
pub async fn sweep(ctx: &Ctx, tx: &Tx) -> Result<u64> {
    let before = ctx.clock.now() - REMEMBERED;
    let deleted =
        row::Entity::delete_many().filter(row::Column::CreatedAt.lt(before)).exec(&tx.sql()).await?;
    Ok(deleted.rows_affected)
}

fn fingerprint(route: &str, request: &[&str]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in std::iter::once(&route).chain(request) {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    crypto::sha256(&message).to_vec()
}
