//! Reading jobs.

use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use super::rows;
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Reason, Result},
        ids::{JobId, ProjectId, TeamId, UserId},
    },
    domain::jobs::model::{Job, JobState, Tally},
};

/// What [`JobRow`] reads, of `jobs j` joined with `job_payloads p`.
pub(super) const COLUMNS: &str = "j.id, j.state, j.team_id, j.project_id, j.attempts, j.infra_failures, \
     j.lease_epoch, j.failure, j.created_at, j.started_at, j.finished_at, p.work, p.correlation_id, \
     p.requested_by";

/// A job with its payload.
#[derive(FromQueryResult)]
pub(super) struct JobRow {
    id: JobId,
    state: JobState,
    team_id: TeamId,
    project_id: Option<ProjectId>,
    attempts: i32,
    infra_failures: i32,
    lease_epoch: i64,
    failure: Option<i32>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    work: String,
    correlation_id: String,
    requested_by: Option<UserId>,
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            work: serde_json::from_str(&row.work).map_err(Error::internal)?,
            state: row.state,
            team: row.team_id,
            project: row.project_id,
            requested_by: row.requested_by,
            correlation: row.correlation_id,
            lease_epoch: u64::try_from(row.lease_epoch).map_err(Error::internal)?,
            tally: Tally {
                attempts: u32::try_from(row.attempts).map_err(Error::internal)?,
                infra_failures: u32::try_from(row.infra_failures).map_err(Error::internal)?,
            },
            failure: row.failure.map(|code| Reason::try_from(code).unwrap_or(Reason::Unspecified)),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

/// The jobs that `condition` selects, in its order.
pub(super) async fn select(tx: &Tx, condition: &str, values: Vec<Value>) -> Result<Vec<Job>> {
    let sql =
        format!("SELECT {COLUMNS} FROM jobs j JOIN job_payloads p ON p.job_id = j.id WHERE {condition}");
    rows::<JobRow>(tx, sql, values).await?.into_iter().map(Job::try_from).collect()
}

/// A job.
///
/// # Errors
/// If the database does not answer.
pub async fn find(tx: &Tx, id: JobId) -> Result<Option<Job>> {
    Ok(select(tx, "j.id = $1", vec![id.into()]).await?.pop())
}

/// Jobs of a team, newest first: only those of `project` if it is given, and those before `before`.
pub(in crate::domain::jobs) async fn list(
    tx: &Tx,
    team: TeamId,
    project: Option<ProjectId>,
    before: Option<JobId>,
    limit: u64,
) -> Result<Vec<Job>> {
    let newest = JobId(Uuid::max());
    let mut values = vec![team.into(), before.unwrap_or(newest).into(), Value::from(limit)];
    let of_project = if let Some(project) = project {
        values.push(project.into());
        "AND j.project_id = $4"
    } else {
        ""
    };
    let condition = format!("j.team_id = $1 AND j.id < $2 {of_project} ORDER BY j.id DESC LIMIT $3");
    select(tx, &condition, values).await
}
