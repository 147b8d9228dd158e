//! The rows of the log.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ExprTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
};

use super::model::{Filter, Head, Record};
use crate::base::{
    clock::Timestamp,
    db::Tx,
    error::{Error, Result},
};

/// The key of the only row of `audit_head`.
const HEAD: i32 = 1;

mod entry {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_entries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        pub event: String,
        pub outcome: String,
        pub route: String,
        pub user_id: Option<Uuid>,
        pub team_id: Option<Uuid>,
        pub project_id: Option<Uuid>,
        pub device_id: Option<Uuid>,
        pub subject_id: Option<String>,
        pub correlation_id: String,
        pub address: Option<String>,
        pub occurred_at: Timestamp,
        pub digest: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod head {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_head")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub sequence: i64,
        pub digest: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Takes the next sequence number and the digest before it. Whoever comes second waits here until the
/// first has committed.
pub(super) async fn advance_head(tx: &Tx) -> Result<Head> {
    let advanced = head::Entity::update_many()
        .col_expr(head::Column::Sequence, Expr::col(head::Column::Sequence).add(1))
        .filter(head::Column::Id.eq(HEAD))
        .exec_with_returning(&tx.sql())
        .await?;
    advanced.into_iter().next().map(Head::from).ok_or_else(headless)
}

/// Writes `record` and makes it the head.
pub(super) async fn insert(tx: &Tx, record: &Record) -> Result<()> {
    entry::Entity::insert(entry::ActiveModel {
        sequence: Set(record.sequence),
        event: Set(record.event.clone()),
        outcome: Set(record.outcome.clone()),
        route: Set(record.route.clone()),
        user_id: Set(record.user.map(|id| id.0)),
        team_id: Set(record.team.map(|id| id.0)),
        project_id: Set(record.project.map(|id| id.0)),
        device_id: Set(record.device.map(|id| id.0)),
        subject_id: Set(record.subject.clone()),
        correlation_id: Set(record.correlation.clone()),
        address: Set(record.address.clone()),
        occurred_at: Set(record.occurred_at),
        digest: Set(record.digest.clone()),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    head::Entity::update_many()
        .col_expr(head::Column::Digest, Expr::value(record.digest.clone()))
        .filter(head::Column::Id.eq(HEAD))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// The head.
pub(super) async fn head(tx: &Tx) -> Result<Head> {
    head::Entity::find_by_id(HEAD).one(&tx.sql()).await?.map(Head::from).ok_or_else(headless)
}

/// At most `count` entries after `sequence` up to `last`, oldest first.
pub(super) async fn following(tx: &Tx, sequence: i64, last: i64, count: u64) -> Result<Vec<Record>> {
    let rows = entry::Entity::find()
        .filter(entry::Column::Sequence.gt(sequence))
        .filter(entry::Column::Sequence.lte(last))
        .order_by_asc(entry::Column::Sequence)
        .limit(count)
        .all(&tx.sql())
        .await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

/// At most `count` entries that match `filter`, before the entry `before`, newest first.
pub(super) async fn list(tx: &Tx, filter: &Filter, before: Option<i64>, count: u64) -> Result<Vec<Record>> {
    use entry::Column;
    let rows = entry::Entity::find()
        .apply_if(filter.user, |query, user| query.filter(Column::UserId.eq(user.0)))
        .apply_if(filter.project, |query, project| query.filter(Column::ProjectId.eq(project.0)))
        .apply_if(filter.event.as_deref(), |query, event| query.filter(Column::Event.eq(event)))
        .apply_if(filter.correlation.as_deref(), |query, id| query.filter(Column::CorrelationId.eq(id)))
        .apply_if(before, |query, sequence| query.filter(Column::Sequence.lt(sequence)))
        .order_by_desc(Column::Sequence)
        .limit(count)
        .all(&tx.sql())
        .await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

fn headless() -> Error {
    Error::internal("the audit log has no head")
}

impl From<head::Model> for Head {
    fn from(row: head::Model) -> Self {
        Self { sequence: row.sequence, digest: row.digest }
    }
}

impl From<entry::Model> for Record {
    fn from(row: entry::Model) -> Self {
        Self {
            sequence: row.sequence,
            event: row.event,
            outcome: row.outcome,
            route: row.route,
            user: row.user_id.map(Into::into),
            team: row.team_id.map(Into::into),
            project: row.project_id.map(Into::into),
            device: row.device_id.map(Into::into),
            subject: row.subject_id,
            correlation: row.correlation_id,
            address: row.address,
            occurred_at: row.occurred_at,
            digest: row.digest,
        }
    }
}
