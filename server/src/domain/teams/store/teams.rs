//! Teams.

use sea_orm::{ActiveValue::Set, entity::prelude::*, sea_query::LockType};

use crate::{
    base::{clock::Timestamp, db::Tx, error::Result, ids::TeamId},
    domain::teams::model::Team,
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "teams")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TeamId,
        pub name: String,
        pub personal: bool,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes a new team.
pub(in crate::domain::teams) async fn insert(tx: &Tx, team: &Team) -> Result<()> {
    row::Entity::insert(row::ActiveModel {
        id: Set(team.id),
        name: Set(team.name.clone()),
        personal: Set(team.personal),
        created_at: Set(team.created_at),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(())
}

/// The team `id`.
pub(in crate::domain::teams) async fn find(tx: &Tx, id: TeamId) -> Result<Option<Team>> {
    Ok(row::Entity::find_by_id(id).one(&tx.sql()).await?.map(Team::from))
}

/// Waits until no other transaction that adds to the team `id` is open.
pub(in crate::domain::teams) async fn lock(tx: &Tx, id: TeamId) -> Result<()> {
    if tx.is_shared() {
        tx.hold(row::Entity::find_by_id(id), LockType::NoKeyUpdate).one(&tx.sql()).await?;
    }
    Ok(())
}

/// The teams of a page.
pub(in crate::domain::teams) async fn find_all(tx: &Tx, ids: &[TeamId]) -> Result<Vec<Team>> {
    let rows = row::Entity::find().filter(row::Column::Id.is_in(ids.iter().copied())).all(&tx.sql()).await?;
    Ok(rows.into_iter().map(Team::from).collect())
}

impl From<row::Model> for Team {
    fn from(row: row::Model) -> Self {
        Self { id: row.id, name: row.name, personal: row.personal, created_at: row.created_at }
    }
}
