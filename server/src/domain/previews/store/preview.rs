//! Previews.

use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, UpdateMany, entity::prelude::*};

use super::super::model::{Preview, PreviewState};
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Result},
        ids::{DeviceId, JobId, PreviewId, ProjectId, TeamId, UserId},
    },
    domain::access::Grant,
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "previews")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: PreviewId,
        pub project_id: ProjectId,
        pub team_id: TeamId,
        pub publisher_id: UserId,
        pub device_id: Option<DeviceId>,
        pub state: String,
        pub manifest_digest: Vec<u8>,
        pub platform: i32,
        pub file_count: i32,
        pub total_bytes: i64,
        pub verify_job_id: Option<JobId>,
        pub rejected_paths: String,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Adds a preview in the team of `grant`.
pub(in super::super) async fn insert(tx: &Tx, grant: &Grant, preview: &Preview) -> Result<()> {
    row::Entity::insert(row::ActiveModel {
        id: Set(preview.id),
        project_id: Set(preview.project),
        team_id: Set(grant.team()),
        publisher_id: Set(preview.publisher),
        device_id: Set(preview.device),
        state: Set(preview.state.as_str().to_owned()),
        manifest_digest: Set(preview.manifest_digest.to_vec()),
        platform: Set(preview.platform),
        file_count: Set(i32::try_from(preview.file_count).unwrap_or(i32::MAX)),
        total_bytes: Set(i64::try_from(preview.total_bytes).unwrap_or(i64::MAX)),
        verify_job_id: Set(preview.verify_job),
        rejected_paths: Set(paths_to_row(&preview.rejected_paths)?),
        created_at: Set(preview.created_at),
        expires_at: Set(preview.expires_at),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(())
}

/// A preview.
pub(in super::super) async fn find(tx: &Tx, id: PreviewId) -> Result<Option<Preview>> {
    row::Entity::find_by_id(id).one(&tx.sql()).await?.map(Preview::try_from).transpose()
}

/// How many previews of a project can be opened now or later.
pub(in super::super) async fn count_live(tx: &Tx, project: ProjectId, now: Timestamp) -> Result<u64> {
    let live = row::Entity::find()
        .filter(row::Column::ProjectId.eq(project))
        .filter(row::Column::State.is_in(live_states()))
        .filter(row::Column::ExpiresAt.gt(now));
    Ok(live.count(&tx.sql()).await?)
}

/// At most `count` previews of a project before the preview `before`, newest first.
pub(in super::super) async fn list(
    tx: &Tx,
    project: ProjectId,
    before: Option<PreviewId>,
    count: u64,
) -> Result<Vec<Preview>> {
    let mut query = row::Entity::find().filter(row::Column::ProjectId.eq(project));
    if let Some(before) = before {
        query = query.filter(row::Column::Id.lt(before));
    }
    let rows = query.order_by_desc(row::Column::Id).limit(count).all(&tx.sql()).await?;
    rows.into_iter().map(Preview::try_from).collect()
}

/// Moves a preview from one state to another; whether it was in the first.
pub(in super::super) async fn set_state(
    tx: &Tx,
    grant: &Grant,
    id: PreviewId,
    from: PreviewState,
    to: PreviewState,
) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::State, Expr::value(to.as_str()))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::State.eq(from.as_str()))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Hands a preview whose files have arrived over to the job that checks them; whether it waited for that.
pub(in super::super) async fn start_verifying(
    tx: &Tx,
    grant: &Grant,
    id: PreviewId,
    job: JobId,
) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::State, Expr::value(PreviewState::Verifying.as_str()))
        .col_expr(row::Column::VerifyJobId, Expr::value(Some(job.0)))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::State.eq(PreviewState::Uploading.as_str()))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Names the files of a preview that were not what the manifest says.
pub(in super::super) async fn set_rejected_paths(
    tx: &Tx,
    grant: &Grant,
    id: PreviewId,
    paths: &[String],
) -> Result<()> {
    row::Entity::update_many()
        .col_expr(row::Column::RejectedPaths, Expr::value(paths_to_row(paths)?))
        .filter(row::Column::Id.eq(id))
        .filter(row::Column::TeamId.eq(grant.team()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Revokes a live preview, whatever it waits for; whether it was live.
pub(in super::super) async fn end(tx: &Tx, grant: &Grant, id: PreviewId) -> Result<bool> {
    let changed = revoke(grant).filter(row::Column::Id.eq(id)).exec(&tx.sql()).await?;
    Ok(changed.rows_affected == 1)
}

/// Revokes every live preview of a project.
pub(in super::super) async fn end_all(tx: &Tx, grant: &Grant, project: ProjectId) -> Result<()> {
    revoke(grant).filter(row::Column::ProjectId.eq(project)).exec(&tx.sql()).await?;
    Ok(())
}

fn revoke(grant: &Grant) -> UpdateMany<row::Entity> {
    row::Entity::update_many()
        .col_expr(row::Column::State, Expr::value(PreviewState::Revoked.as_str()))
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::State.is_in(live_states()))
}

/// At most `count` live previews whose time is over.
pub(in super::super) async fn expired(tx: &Tx, now: Timestamp, count: u64) -> Result<Vec<Preview>> {
    let rows = row::Entity::find()
        .filter(row::Column::State.is_in(live_states()))
        .filter(row::Column::ExpiresAt.lte(now))
        .limit(count)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Preview::try_from).collect()
}

/// Forgets previews whose time was over before `before`.
pub(in super::super) async fn forget_history(tx: &Tx, before: Timestamp) -> Result<()> {
    row::Entity::delete_many().filter(row::Column::ExpiresAt.lt(before)).exec(&tx.sql()).await?;
    Ok(())
}

fn live_states() -> [&'static str; 3] {
    PreviewState::LIVE.map(PreviewState::as_str)
}

fn paths_to_row(paths: &[String]) -> Result<String> {
    serde_json::to_string(paths).map_err(Error::internal)
}

impl TryFrom<row::Model> for Preview {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let broken = || Error::internal("the row of a preview is broken");
        Ok(Self {
            id: row.id,
            project: row.project_id,
            team: row.team_id,
            publisher: row.publisher_id,
            device: row.device_id,
            state: PreviewState::parse(&row.state).ok_or_else(broken)?,
            manifest_digest: row.manifest_digest.try_into().map_err(|_| broken())?,
            platform: row.platform,
            file_count: row.file_count.unsigned_abs(),
            total_bytes: row.total_bytes.unsigned_abs(),
            verify_job: row.verify_job_id,
            rejected_paths: serde_json::from_str(&row.rejected_paths).map_err(Error::internal)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}
