//! Devices.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{LockBehavior, LockType, OnConflict, Query},
};

use crate::{
    base::{
        clock::Timestamp,
        ctx::ProvenKey,
        db::Tx,
        error::{Error, Result},
        ids::{DeviceId, UserId},
    },
    domain::auth::model::device::{Device, Platform},
};

pub(super) mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "devices")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: DeviceId,
        pub user_id: UserId,
        pub thumbprint: String,
        pub public_key: String,
        pub name: String,
        pub platform: String,
        pub created_at: Timestamp,
        pub seen_at: Timestamp,
        pub revoked_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes a device unless its user has one with the same key; whether it was new.
pub(in crate::domain::auth) async fn insert(tx: &Tx, device: &Device) -> Result<bool> {
    let inserted = row::Entity::insert(row::ActiveModel {
        id: Set(device.id),
        user_id: Set(device.user),
        thumbprint: Set(device.key.thumbprint.clone()),
        public_key: Set(device.key.jwk.clone()),
        name: Set(device.name.clone()),
        platform: Set(device.platform.as_str().to_owned()),
        created_at: Set(device.created_at),
        seen_at: Set(device.seen_at),
        revoked_at: Set(device.revoked_at),
    })
    .on_conflict(OnConflict::columns([row::Column::UserId, row::Column::Thumbprint]).do_nothing().to_owned())
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(inserted > 0)
}

/// Notes that `user` signed in on the device with `thumbprint`, which calls itself `name` now; the device,
/// unless it was revoked.
pub(in crate::domain::auth) async fn sign_in(
    tx: &Tx,
    user: UserId,
    thumbprint: &str,
    name: &str,
    now: Timestamp,
) -> Result<Option<DeviceId>> {
    let seen = row::Entity::update_many()
        .col_expr(row::Column::Name, Expr::value(name))
        .col_expr(row::Column::SeenAt, Expr::value(now))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Thumbprint.eq(thumbprint))
        .filter(row::Column::RevokedAt.is_null())
        .exec_with_returning(&tx.sql())
        .await?;
    Ok(seen.into_iter().next().map(|row| row.id))
}

/// Notes that the device `id` proved its key, unless somebody changes it at the moment: whoever revokes it waits for
/// its sessions, one of which the caller holds.
pub(in crate::domain::auth) async fn touch(tx: &Tx, id: DeviceId, now: Timestamp) -> Result<()> {
    let mut free = Query::select();
    free.column(row::Column::Id).from(row::Entity).and_where(row::Column::Id.eq(id));
    if tx.is_shared() {
        free.lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
    }
    row::Entity::update_many()
        .col_expr(row::Column::SeenAt, Expr::value(now))
        .filter(row::Column::Id.in_subquery(free))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// The device `id`.
pub(in crate::domain::auth) async fn find(tx: &Tx, id: DeviceId) -> Result<Option<Device>> {
    row::Entity::find_by_id(id).one(&tx.sql()).await?.map(Device::try_from).transpose()
}

/// Whether `user` has a device with this key that was not revoked.
pub(in crate::domain::auth) async fn knows(tx: &Tx, user: UserId, thumbprint: &str) -> Result<bool> {
    let found = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Thumbprint.eq(thumbprint))
        .filter(row::Column::RevokedAt.is_null())
        .one(&tx.sql())
        .await?;
    Ok(found.is_some())
}

/// Revokes the device `id` of `user`; whether there is one, revoked now or before.
pub(in crate::domain::auth) async fn revoke(
    tx: &Tx,
    user: UserId,
    id: DeviceId,
    now: Timestamp,
) -> Result<bool> {
    row::Entity::update_many()
        .col_expr(row::Column::RevokedAt, Expr::value(now))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::RevokedAt.is_null())
        .exec(&tx.sql())
        .await?;
    Ok(find(tx, id).await?.is_some_and(|device| device.user == user))
}

/// At most `count` devices of `user` that were not revoked, made before `before`, newest first.
pub(in crate::domain::auth) async fn list(
    tx: &Tx,
    user: UserId,
    before: Option<DeviceId>,
    count: u64,
) -> Result<Vec<Device>> {
    let rows = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::RevokedAt.is_null())
        .apply_if(before, |query, id| query.filter(row::Column::Id.lt(id)))
        .order_by_desc(row::Column::Id)
        .limit(count)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Device::try_from).collect()
}

/// What devices call themselves.
pub(in crate::domain::auth) async fn names(tx: &Tx, ids: &[DeviceId]) -> Result<HashMap<DeviceId, String>> {
    let names = row::Entity::find()
        .select_only()
        .columns([row::Column::Id, row::Column::Name])
        .filter(row::Column::Id.is_in(ids.iter().copied()))
        .into_tuple::<(DeviceId, String)>()
        .all(&tx.sql())
        .await?;
    Ok(names.into_iter().collect())
}

impl TryFrom<row::Model> for Device {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let platform = Platform::parse(&row.platform)
            .ok_or_else(|| Error::internal("a device has an unknown platform"))?;
        Ok(Self {
            id: row.id,
            user: row.user_id,
            key: ProvenKey { thumbprint: row.thumbprint, jwk: row.public_key },
            name: row.name,
            platform,
            created_at: row.created_at,
            seen_at: row.seen_at,
            revoked_at: row.revoked_at,
        })
    }
}
