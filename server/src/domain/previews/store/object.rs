//! Objects that nothing refers to any more.

use sea_orm::{ActiveValue::Set, QuerySelect as _, entity::prelude::*, sea_query::OnConflict};

use super::LIST_MAX;
use crate::base::{blob::ObjectKey, clock::Timestamp, db::Tx, error::Result};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "preview_doomed_objects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub object_key: String,
        pub due_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Marks objects for deletion from `due_at` on.
pub(super) async fn doom(tx: &Tx, objects: Vec<String>, due_at: Timestamp) -> Result<()> {
    for chunk in objects.chunks(LIST_MAX) {
        let rows =
            chunk.iter().map(|key| row::ActiveModel { object_key: Set(key.clone()), due_at: Set(due_at) });
        row::Entity::insert_many(rows)
            .on_conflict(OnConflict::column(row::Column::ObjectKey).do_nothing().to_owned())
            .exec_without_returning(&tx.sql())
            .await?;
    }
    Ok(())
}

/// At most `count` objects that may be deleted now.
pub(in super::super) async fn doomed_objects(tx: &Tx, now: Timestamp, count: u64) -> Result<Vec<ObjectKey>> {
    let rows = row::Entity::find().filter(row::Column::DueAt.lte(now)).limit(count).all(&tx.sql()).await?;
    Ok(rows.iter().filter_map(|row| ObjectKey::parse(&row.object_key)).collect())
}

/// Forgets objects that are deleted.
pub(in super::super) async fn forget_objects(tx: &Tx, objects: &[ObjectKey]) -> Result<()> {
    for chunk in objects.chunks(LIST_MAX) {
        row::Entity::delete_many()
            .filter(row::Column::ObjectKey.is_in(chunk.iter().map(ObjectKey::to_string)))
            .exec(&tx.sql())
            .await?;
    }
    Ok(())
}
