//! The rows of accounts.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    QuerySelect as _,
    entity::prelude::*,
    sea_query::{LockType, OnConflict},
};

use super::model::{EmailIndex, Name, User};
use crate::base::{
    actor::PlatformRole,
    clock::Timestamp,
    db::Tx,
    error::{Error, Result},
    ids::{TeamId, UserId},
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        pub email: String,
        pub email_index: Vec<u8>,
        pub display_name: String,
        pub role: String,
        pub personal_team_id: TeamId,
        pub created_at: Timestamp,
        pub disabled_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes a new account; whether its address was free.
pub(super) async fn insert(tx: &Tx, user: &User, index: EmailIndex) -> Result<bool> {
    let inserted = row::Entity::insert(row::ActiveModel {
        id: Set(user.id),
        email: Set(user.email.clone()),
        email_index: Set(index.to_vec()),
        display_name: Set(user.display_name.clone()),
        role: Set(user.role.as_str().to_owned()),
        personal_team_id: Set(user.personal_team),
        created_at: Set(user.created_at),
        disabled_at: Set(user.disabled_at),
    })
    .on_conflict(OnConflict::column(row::Column::EmailIndex).do_nothing().to_owned())
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(inserted > 0)
}

/// The account `id`.
pub(super) async fn find(tx: &Tx, id: UserId) -> Result<Option<User>> {
    row::Entity::find_by_id(id).one(&tx.sql()).await?.map(User::try_from).transpose()
}

/// The account `id`, which stays as it is until the transaction ends.
pub(super) async fn find_held(tx: &Tx, id: UserId) -> Result<Option<User>> {
    let query = tx.hold(row::Entity::find_by_id(id), LockType::Share);
    query.one(&tx.sql()).await?.map(User::try_from).transpose()
}

/// Waits until no other transaction that adds to the account `id` is open.
pub(super) async fn lock(tx: &Tx, id: UserId) -> Result<()> {
    if tx.is_shared() {
        tx.hold(row::Entity::find_by_id(id), LockType::NoKeyUpdate).one(&tx.sql()).await?;
    }
    Ok(())
}

/// The account with an address.
pub(super) async fn find_by_email(tx: &Tx, index: EmailIndex) -> Result<Option<User>> {
    row::Entity::find()
        .filter(row::Column::EmailIndex.eq(index.to_vec()))
        .one(&tx.sql())
        .await?
        .map(User::try_from)
        .transpose()
}

/// Renames the account `id`.
pub(super) async fn rename(tx: &Tx, id: UserId, display_name: &Name) -> Result<Option<User>> {
    row::Entity::update_many()
        .col_expr(row::Column::DisplayName, Expr::value(display_name.as_str()))
        .filter(row::Column::Id.eq(id))
        .exec_with_returning(&tx.sql())
        .await?
        .into_iter()
        .next()
        .map(User::try_from)
        .transpose()
}

/// Gives the account `id` another role on the platform.
pub(super) async fn set_role(tx: &Tx, id: UserId, role: PlatformRole) -> Result<()> {
    row::Entity::update_many()
        .col_expr(row::Column::Role, Expr::value(role.as_str()))
        .filter(row::Column::Id.eq(id))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Writes when the account `id` was shut, or that it is open.
pub(super) async fn set_disabled(tx: &Tx, id: UserId, disabled_at: Option<Timestamp>) -> Result<()> {
    row::Entity::update_many()
        .col_expr(row::Column::DisabledAt, Expr::value(disabled_at))
        .filter(row::Column::Id.eq(id))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// How users are shown to others.
pub(super) async fn display_names(tx: &Tx, ids: &[UserId]) -> Result<HashMap<UserId, String>> {
    let names = row::Entity::find()
        .select_only()
        .columns([row::Column::Id, row::Column::DisplayName])
        .filter(row::Column::Id.is_in(ids.iter().copied()))
        .into_tuple::<(UserId, String)>()
        .all(&tx.sql())
        .await?;
    Ok(names.into_iter().collect())
}

impl TryFrom<row::Model> for User {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let role = PlatformRole::parse(&row.role)
            .ok_or_else(|| Error::internal("an account has an unknown role"))?;
        Ok(Self {
            id: row.id,
            email: row.email,
            display_name: row.display_name,
            role,
            personal_team: row.personal_team_id,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        })
    }
}
