//! `hsync repo sync` and `status`.

use futures::TryStreamExt as _;
use hivesync::jobs::{Job, JobKind};
use serde_json::json;

use crate::{
    connection::{Connection, Started},
    failure::Result,
    job,
    output::Output,
    project,
};

/// Jobs of a project among which its last sync is looked for.
const JOBS_MAX: usize = 200;

pub(super) async fn sync(
    project: &str,
    no_wait: bool,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let queue = async {
        let job = projects.sync(project.id).await?;
        if !job.joined {
            connection.started(Started::Job(job.id));
        }
        Ok(job)
    };
    let queued = connection.starting(queue).await?;
    if no_wait {
        connection.ended();
        return output.result(&queued, |job, text| text.line(format!("Queued as {}.", job.id)));
    }
    let ended = job::await_end(queued.id, connection, output).await?;
    connection.ended();
    let ended = ended.into_result()?;
    let project = projects.get(project.id).await?;
    output.result(&ended, |job, text| {
        let branch = project.default_branch.as_deref().unwrap_or("its branch");
        let head = project.head_commit.as_deref().unwrap_or("nothing");
        text.line(format!("Synced {}{}: {branch} is at {head}.", project.name, took(job)));
    })
}

fn took(job: &Job) -> String {
    let took = job.finished_at.zip(job.started_at).map(|(end, start)| end - start);
    took.map(|took| format!(" in {:.1} s", took.as_seconds_f64())).unwrap_or_default()
}

pub(super) async fn status(project: &str, connection: &Connection, output: Output) -> Result<()> {
    let project = connection.project(project).await?;
    let jobs = connection.client().jobs();
    let all = jobs.all(project.team_id, Some(project.id));
    let mut all = std::pin::pin!(futures::StreamExt::take(all, JOBS_MAX));
    let mut last = None;
    while let Some(job) = all.try_next().await? {
        if job.kind == JobKind::RepoSync {
            last = Some(job);
            break;
        }
    }
    output.result(&json!({"project": &project, "last_sync": &last}), |_, text| {
        project::describe(&project, text);
        match &last {
            Some(job) => text.table(&[job::row(job)]),
            None => text.line("It was never synced."),
        }
    })
}
