//! Sessions.

use sea_orm::{
    ActiveValue::Set, Condition, ExprTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*, sea_query::Query,
};

use super::devices;
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::Result,
        ids::{DeviceId, SessionId, UserId},
    },
    domain::auth::model::{
        refresh_token::RefreshToken,
        session::{IDLE, LIFE, Session},
    },
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        pub user_id: UserId,
        pub device_id: DeviceId,
        pub generation: i64,
        pub last_attempt_id: Option<Uuid>,
        pub created_at: Timestamp,
        pub rotated_at: Timestamp,
        pub idle_expires_at: Timestamp,
        pub expires_at: Timestamp,
        pub revoked_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Which sessions end.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::auth) enum Ending {
    /// One.
    One(SessionId),
    /// All of a device.
    OfDevice(DeviceId),
    /// All of a user.
    OfUser,
}

/// Writes a new session.
pub(in crate::domain::auth) async fn insert(tx: &Tx, session: &Session) -> Result<()> {
    row::Entity::insert(row::ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user),
        device_id: Set(session.device),
        generation: Set(session.generation),
        last_attempt_id: Set(session.last_attempt),
        created_at: Set(session.created_at),
        rotated_at: Set(session.rotated_at),
        idle_expires_at: Set(session.idle_expires_at),
        expires_at: Set(session.expires_at),
        revoked_at: Set(session.revoked_at),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(())
}

/// Continues the session that `token` names, if the token is the current one and comes from the session's
/// device. One statement: of any number of calls with the same token, one gets the session.
pub(in crate::domain::auth) async fn advance(
    tx: &Tx,
    token: RefreshToken,
    attempt: Uuid,
    thumbprint: &str,
    now: Timestamp,
) -> Result<Option<Session>> {
    use row::Column;
    let device = Query::select()
        .column(devices::row::Column::Id)
        .from(devices::row::Entity)
        .and_where(devices::row::Column::Thumbprint.eq(thumbprint))
        .and_where(devices::row::Column::RevokedAt.is_null())
        .to_owned();
    let advanced = row::Entity::update_many()
        .col_expr(Column::Generation, Expr::col(Column::Generation).add(1))
        .col_expr(Column::LastAttemptId, Expr::value(attempt))
        .col_expr(Column::RotatedAt, Expr::value(now))
        .col_expr(Column::IdleExpiresAt, Expr::value(now + IDLE))
        .filter(Column::Id.eq(token.session))
        .filter(Column::Generation.eq(token.generation))
        .filter(Column::DeviceId.in_subquery(device))
        .filter(is_live(now))
        .exec_with_returning(&tx.sql())
        .await?;
    Ok(advanced.into_iter().next().map(Session::from))
}

/// The session `id`.
pub(in crate::domain::auth) async fn find(tx: &Tx, id: SessionId) -> Result<Option<Session>> {
    Ok(row::Entity::find_by_id(id).one(&tx.sql()).await?.map(Session::from))
}

/// Ends sessions of `user` that have not ended; which ones.
pub(in crate::domain::auth) async fn end(
    tx: &Tx,
    user: UserId,
    which: Ending,
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    let which = match which {
        Ending::One(id) => Condition::all().add(row::Column::Id.eq(id)),
        Ending::OfDevice(id) => Condition::all().add(row::Column::DeviceId.eq(id)),
        Ending::OfUser => Condition::all(),
    };
    let ended = row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(now))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::RevokedAt.is_null())
        .filter(which)
        .exec_with_returning(&tx.sql())
        .await?;
    Ok(ended.into_iter().map(|row| row.id).collect())
}

/// At most `count` sessions that were ended after the session `last`, or together with it and with a greater
/// identifier; earliest first.
pub(in crate::domain::auth) async fn ended_after(
    tx: &Tx,
    (last, since): (SessionId, Timestamp),
    count: u64,
) -> Result<Vec<(SessionId, Timestamp)>> {
    use row::Column;
    let together = Condition::all().add(Column::RevokedAt.eq(since)).add(Column::Id.gt(last));
    Ok(row::Entity::find()
        .select_only()
        .columns([Column::Id, Column::RevokedAt])
        .filter(Condition::any().add(Column::RevokedAt.gt(since)).add(together))
        .order_by_asc(Column::RevokedAt)
        .order_by_asc(Column::Id)
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?)
}

/// Forgets at most `count` sessions whose longest life ended before `before`. Found by their identifiers, which
/// begin with when they began.
pub(in crate::domain::auth) async fn forget_history(tx: &Tx, before: Timestamp, count: u64) -> Result<()> {
    let began_before = u128::from((before - LIFE).as_millis().unsigned_abs()) << 80;
    let forgotten: Vec<SessionId> = row::Entity::find()
        .select_only()
        .column(row::Column::Id)
        .filter(row::Column::Id.lt(SessionId(Uuid::from_u128(began_before))))
        .filter(row::Column::ExpiresAt.lt(before))
        .order_by_asc(row::Column::Id)
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?;
    row::Entity::delete_many().filter(row::Column::Id.is_in(forgotten)).exec(&tx.sql()).await?;
    Ok(())
}

/// At most `count` live sessions of `user` that began before `before`, newest first.
pub(in crate::domain::auth) async fn list(
    tx: &Tx,
    user: UserId,
    before: Option<SessionId>,
    count: u64,
    now: Timestamp,
) -> Result<Vec<Session>> {
    let rows = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(is_live(now))
        .apply_if(before, |query, id| query.filter(row::Column::Id.lt(id)))
        .order_by_desc(row::Column::Id)
        .limit(count)
        .all(&tx.sql())
        .await?;
    Ok(rows.into_iter().map(Session::from).collect())
}

fn is_live(now: Timestamp) -> Condition {
    Condition::all()
        .add(row::Column::RevokedAt.is_null())
        .add(row::Column::IdleExpiresAt.gt(now))
        .add(row::Column::ExpiresAt.gt(now))
}

impl From<row::Model> for Session {
    fn from(row: row::Model) -> Self {
        Self {
            id: row.id,
            user: row.user_id,
            device: row.device_id,
            generation: row.generation,
            last_attempt: row.last_attempt_id,
            created_at: row.created_at,
            rotated_at: row.rotated_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        }
    }
}
