//! The rows of projects.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ExprTrait as _, QueryOrder as _, QuerySelect as _, entity::prelude::*,
};

use super::model::{CommitId, Link, MirrorState, Project, Sync, SyncedMirror};
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Reason, Result},
        ids::{JobId, ProjectId, TeamId},
    },
    domain::access::Grant,
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "projects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ProjectId,
        pub team_id: TeamId,
        pub name: String,
        pub repository_url: Option<String>,
        pub link_number: i32,
        pub mirror_state: String,
        pub sync_job_id: Option<JobId>,
        pub sync_epoch: i64,
        pub sync_link: i32,
        pub head_commit: Option<String>,
        pub default_branch: String,
        pub mirror_bytes: i64,
        pub synced_at: Option<Timestamp>,
        pub created_at: Timestamp,
        pub deleted_at: Option<Timestamp>,
        pub cleanup_due_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Adds a project to the team of `grant`.
pub(super) async fn insert(tx: &Tx, grant: &Grant, project: &Project) -> Result<()> {
    let inserted = row::Entity::insert(row::ActiveModel {
        id: Set(project.id),
        team_id: Set(grant.team()),
        name: Set(project.name.clone()),
        repository_url: Set(project.link.as_ref().map(|link| link.url.clone())),
        link_number: Set(project.link.as_ref().map_or(0, |link| link.number)),
        mirror_state: Set(project.state.as_str().to_owned()),
        sync_job_id: Set(None),
        sync_epoch: Set(0),
        sync_link: Set(0),
        head_commit: Set(project.head.map(|head| head.to_string())),
        default_branch: Set(project.default_branch.clone()),
        mirror_bytes: Set(bytes_to_row(project.mirror_bytes)),
        synced_at: Set(project.synced_at),
        created_at: Set(project.created_at),
        deleted_at: Set(None),
        cleanup_due_at: Set(None),
    })
    .exec_without_returning(&tx.sql())
    .await;
    match inserted {
        Ok(_) => Ok(()),
        // PostgreSQL names the index, SQLite its columns.
        Err(error) => Err(Error::from(error)
            .on_unique("projects_team_name", Reason::AlreadyExists)
            .on_unique("projects.team_id, projects.name", Reason::AlreadyExists)),
    }
}

/// A project, unless it is deleted.
pub(super) async fn find(tx: &Tx, id: ProjectId) -> Result<Option<Project>> {
    let found = live().filter(row::Column::Id.eq(id)).one(&tx.sql()).await?;
    found.map(Project::try_from).transpose()
}

/// At most `count` projects of a team after the project `after`, oldest first.
pub(super) async fn list(
    tx: &Tx,
    team: TeamId,
    after: Option<ProjectId>,
    count: u64,
) -> Result<Vec<Project>> {
    let mut query = live().filter(row::Column::TeamId.eq(team));
    if let Some(after) = after {
        query = query.filter(row::Column::Id.gt(after));
    }
    let rows = query.order_by_asc(row::Column::Id).limit(count).all(&tx.sql()).await?;
    rows.into_iter().map(Project::try_from).collect()
}

/// How many projects a team has.
pub(super) async fn count(tx: &Tx, team: TeamId) -> Result<u64> {
    Ok(live().filter(row::Column::TeamId.eq(team)).count(&tx.sql()).await?)
}

/// Writes what [`Project::relink`] changed, unless the project was linked anew since it was read.
pub(super) async fn relink(tx: &Tx, grant: &Grant, project: &Project) -> Result<()> {
    let Some(link) = &project.link else { return Ok(()) };
    let changed = row::Entity::update_many()
        .col_expr(row::Column::RepositoryUrl, Expr::value(link.url.clone()))
        .col_expr(row::Column::LinkNumber, Expr::value(link.number))
        .col_expr(row::Column::MirrorState, Expr::value(project.state.as_str()))
        .col_expr(row::Column::HeadCommit, Expr::value(Option::<String>::None))
        .col_expr(row::Column::DefaultBranch, Expr::value(""))
        .col_expr(row::Column::SyncedAt, Expr::value(Option::<Timestamp>::None))
        .filter(of_grant(grant, project.id))
        .filter(row::Column::LinkNumber.eq(link.number.saturating_sub(1)))
        .exec(&tx.sql())
        .await?;
    if changed.rows_affected == 1 { Ok(()) } else { Err(Error::new(Reason::Conflict)) }
}

/// Marks a project as deleted, whose mirror is to be gone by `cleanup_due_at`; whether it was not before.
pub(super) async fn delete(
    tx: &Tx,
    grant: &Grant,
    id: ProjectId,
    now: Timestamp,
    cleanup_due_at: Timestamp,
) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::DeletedAt, Expr::value(now))
        .col_expr(row::Column::CleanupDueAt, Expr::value(Some(cleanup_due_at)))
        .filter(of_grant(grant, id))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

/// A deleted project whose mirror was to be gone by now.
pub(super) struct Leftover {
    pub id: ProjectId,
    pub team: TeamId,
    due_at: Timestamp,
}

/// At most `count` deleted projects whose mirrors should be gone and may not be, the longest due first.
pub(super) async fn leftovers(tx: &Tx, now: Timestamp, count: u64) -> Result<Vec<Leftover>> {
    let rows = row::Entity::find()
        .filter(row::Column::CleanupDueAt.lte(now))
        .order_by_asc(row::Column::CleanupDueAt)
        .limit(count)
        .all(&tx.sql())
        .await?;
    let leftover =
        |row: row::Model| Some(Leftover { id: row.id, team: row.team_id, due_at: row.cleanup_due_at? });
    Ok(rows.into_iter().filter_map(leftover).collect())
}

/// Puts the next look at a leftover off to `due_at`; whether nobody else has done so meanwhile.
pub(super) async fn put_off(tx: &Tx, leftover: &Leftover, due_at: Timestamp) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::CleanupDueAt, Expr::value(Some(due_at)))
        .filter(row::Column::Id.eq(leftover.id))
        .filter(row::Column::CleanupDueAt.eq(leftover.due_at))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Has those of `projects` cleaned up from `due_at` on that were deleted before `before` and need no cleanup by what
/// is known; how many these are.
pub(super) async fn expect_cleanup(
    tx: &Tx,
    projects: &[ProjectId],
    before: Timestamp,
    due_at: Timestamp,
) -> Result<u64> {
    let expected = row::Entity::update_many()
        .col_expr(row::Column::CleanupDueAt, Expr::value(Some(due_at)))
        .filter(row::Column::Id.is_in(projects.iter().copied()))
        .filter(row::Column::DeletedAt.lt(before))
        .filter(row::Column::CleanupDueAt.is_null())
        .exec(&tx.sql())
        .await?;
    Ok(expected.rows_affected)
}

/// Writes that the mirrors of deleted projects are gone.
pub(super) async fn mirrors_removed(tx: &Tx, projects: &[ProjectId]) -> Result<()> {
    row::Entity::update_many()
        .col_expr(row::Column::CleanupDueAt, Expr::value(Option::<Timestamp>::None))
        .filter(row::Column::Id.is_in(projects.iter().copied()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// The team of a project, also of one that is deleted.
pub(super) async fn team_of(tx: &Tx, id: ProjectId) -> Result<Option<TeamId>> {
    let found = row::Entity::find_by_id(id).one(&tx.sql()).await?;
    Ok(found.map(|row| row.team_id))
}

/// Writes that `sync` begins to fetch the repository that is linked now, unless a newer one has begun: the
/// epochs grow over all jobs of a mirror. Returns the project as it is from then on: what is linked while this waits
/// is what is fetched.
///
/// # Errors
/// `CONFLICT` if a newer one has begun, or the project was deleted.
pub(super) async fn begin_sync(tx: &Tx, grant: &Grant, id: ProjectId, sync: Sync) -> Result<Project> {
    let begun = row::Entity::update_many()
        .col_expr(row::Column::SyncJobId, Expr::value(Some(sync.job)))
        .col_expr(row::Column::SyncEpoch, Expr::value(epoch_to_row(sync.epoch)))
        .col_expr(row::Column::SyncLink, Expr::col(row::Column::LinkNumber))
        .filter(of_grant(grant, id))
        .filter(row::Column::SyncEpoch.lte(epoch_to_row(sync.epoch)))
        .exec_with_returning(&tx.sql())
        .await?;
    begun.into_iter().next().ok_or_else(|| Error::new(Reason::Conflict))?.try_into()
}

/// Writes what `sync` brought, unless the project was deleted or linked anew since it began; whether it
/// was written.
pub(super) async fn synced(
    tx: &Tx,
    grant: &Grant,
    id: ProjectId,
    sync: Sync,
    mirror: &SyncedMirror,
    now: Timestamp,
) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::MirrorState, Expr::value(MirrorState::Ready.as_str()))
        .col_expr(row::Column::HeadCommit, Expr::value(mirror.head.map(|head| head.to_string())))
        .col_expr(row::Column::DefaultBranch, Expr::value(mirror.default_branch.clone()))
        .col_expr(row::Column::MirrorBytes, Expr::value(bytes_to_row(mirror.mirror_bytes)))
        .col_expr(row::Column::SyncedAt, Expr::value(Some(now)))
        .filter(of_grant(grant, id))
        .filter(of_sync(sync.job))
        .filter(row::Column::SyncEpoch.eq(epoch_to_row(sync.epoch)))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Writes that the sync by `job` failed, with the same condition as [`synced`].
pub(super) async fn sync_failed(tx: &Tx, grant: &Grant, id: ProjectId, job: JobId) -> Result<bool> {
    let changed = row::Entity::update_many()
        .col_expr(row::Column::MirrorState, Expr::value(MirrorState::Failed.as_str()))
        .filter(of_grant(grant, id))
        .filter(of_sync(job))
        .exec(&tx.sql())
        .await?;
    Ok(changed.rows_affected == 1)
}

fn live() -> Select<row::Entity> {
    row::Entity::find().filter(row::Column::DeletedAt.is_null())
}

fn of_grant(grant: &Grant, id: ProjectId) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(row::Column::Id.eq(id))
        .add(row::Column::TeamId.eq(grant.team()))
        .add(row::Column::DeletedAt.is_null())
}

/// What is linked now is what `job` began to fetch.
fn of_sync(job: JobId) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(row::Column::SyncJobId.eq(job))
        .add(Expr::col(row::Column::SyncLink).eq(Expr::col(row::Column::LinkNumber)))
}

fn epoch_to_row(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

fn bytes_to_row(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl TryFrom<row::Model> for Project {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let number = row.link_number;
        Ok(Self {
            id: row.id,
            team: row.team_id,
            name: row.name,
            link: row.repository_url.map(|url| Link { url, number }),
            state: MirrorState::parse(&row.mirror_state)
                .ok_or_else(|| Error::internal("a project's row has an unknown state"))?,
            head: row.head_commit.as_deref().and_then(CommitId::parse),
            default_branch: row.default_branch,
            mirror_bytes: u64::try_from(row.mirror_bytes).unwrap_or(0),
            synced_at: row.synced_at,
            created_at: row.created_at,
        })
    }
}
