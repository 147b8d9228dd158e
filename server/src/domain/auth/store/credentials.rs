//! Hashes of passwords.

use sea_orm::{ActiveValue::Set, entity::prelude::*};

use crate::base::{clock::Timestamp, db::Tx, error::Result, ids::UserId};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "credentials")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub password_hash: String,
        pub changed_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes the first password of `user`.
pub(in crate::domain::auth) async fn insert(
    tx: &Tx,
    user: UserId,
    password_hash: String,
    now: Timestamp,
) -> Result<()> {
    row::Entity::insert(row::ActiveModel {
        user_id: Set(user),
        password_hash: Set(password_hash),
        changed_at: Set(now),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(())
}

/// The hash of the password of `user`.
pub(in crate::domain::auth) async fn find(tx: &Tx, user: UserId) -> Result<Option<String>> {
    Ok(row::Entity::find_by_id(user).one(&tx.sql()).await?.map(|row| row.password_hash))
}

/// Replaces the hash `old` by `new`, another one of the same password; nothing happens if the password was
/// changed meanwhile.
pub(in crate::domain::auth) async fn rehash(tx: &Tx, user: UserId, old: &str, new: String) -> Result<()> {
    row::Entity::update_many()
        .col_expr(row::Column::PasswordHash, Expr::value(new))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::PasswordHash.eq(old))
        .exec(&tx.sql())
        .await?;
    Ok(())
}
