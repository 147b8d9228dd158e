//! What a project's tokens are counted against, and what its writers wait for each other on.

use sea_orm::{ActiveValue::Set, ExprTrait as _, entity::prelude::*, sea_query::OnConflict};

use crate::base::{
    db::Tx,
    error::{Error, Result},
    ids::ProjectId,
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "preview_projects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub project_id: ProjectId,
        pub epoch: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Waits until no other transaction writes the project's previews; returns the project's epoch.
pub(in super::super) async fn lock_project(tx: &Tx, project: ProjectId) -> Result<u32> {
    row::Entity::insert(row::ActiveModel { project_id: Set(project), epoch: Set(0) })
        .on_conflict(OnConflict::column(row::Column::ProjectId).do_nothing().to_owned())
        .exec_without_returning(&tx.sql())
        .await?;
    advance(tx, project, 0).await
}

/// Makes every token of the project void; the project is locked.
pub(in super::super) async fn advance_epoch(tx: &Tx, project: ProjectId) -> Result<()> {
    advance(tx, project, 1).await.map(drop)
}

async fn advance(tx: &Tx, project: ProjectId, by: i32) -> Result<u32> {
    let rows = row::Entity::update_many()
        .col_expr(row::Column::Epoch, Expr::col(row::Column::Epoch).add(by))
        .filter(row::Column::ProjectId.eq(project))
        .exec_with_returning(&tx.sql())
        .await?;
    let row = rows.first().ok_or_else(|| Error::internal("a project has no row for its previews"))?;
    Ok(row.epoch.unsigned_abs())
}

/// The project's epoch.
pub(in super::super) async fn epoch(tx: &Tx, project: ProjectId) -> Result<u32> {
    let row = row::Entity::find_by_id(project).one(&tx.sql()).await?;
    Ok(row.map_or(0, |row| row.epoch.unsigned_abs()))
}
