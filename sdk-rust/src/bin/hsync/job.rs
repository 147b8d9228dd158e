//! `hsync job`.

use clap::Subcommand;
use futures::{StreamExt as _, TryStreamExt as _};
use hivesync::{
    jobs::{Job, JobState},
    terminal,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    output::Output,
    schema::{JOB, PROGRESS, help},
    text::{Cell, Style, Text, moment},
    value,
};

#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// List the jobs of a team, newest first
    #[command(after_help = help(
        "  hsync job list\n  hsync job list --team Engines --limit 5\n  hsync job list --project site --json",
        "{\"jobs\": [JOB]}",
        &[JOB, PROGRESS],
    ))]
    List {
        /// The team's id or name; your own if it is left out
        #[arg(long, conflicts_with = "project")]
        team: Option<String>,
        /// Only those about this project, by its id or name
        #[arg(long)]
        project: Option<String>,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show a job
    #[command(after_help = help(
        "  hsync job show 0192f0c4-5e1a-7b2c-9d3e-4f5061728394",
        "JOB",
        &[JOB, PROGRESS],
    ))]
    Show {
        /// The job's id
        #[arg(value_parser = value::id)]
        job: Uuid,
    },
    /// Show how far a job is until it has ended; Ctrl-C ends only the watching
    #[command(after_help = help(
        "  hsync job watch 0192f0c4-5e1a-7b2c-9d3e-4f5061728394",
        "JOB",
        &[JOB, PROGRESS],
    ) + "\n  (a line for each change)")]
    Watch {
        /// The job's id
        #[arg(value_parser = value::id)]
        job: Uuid,
    },
    /// Stop a job
    #[command(after_help = help(
        "  hsync job cancel 0192f0c4-5e1a-7b2c-9d3e-4f5061728394",
        "JOB",
        &[JOB, PROGRESS],
    ))]
    Cancel {
        /// The job's id
        #[arg(value_parser = value::id)]
        job: Uuid,
    },
}

pub(crate) async fn run(command: JobCommand, connection: &Connection, output: Output) -> Result<()> {
    let jobs = connection.client().jobs();
    match command {
        JobCommand::List { team, project, limit } => {
            let (team, project) = match project {
                Some(project) => {
                    let project = connection.project(&project).await?;
                    (project.team_id, Some(project.id))
                }
                None => (connection.team_or_own(team.as_deref()).await?, None),
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let listed: Vec<Job> = jobs.all(team, project).take(limit).try_collect().await?;
            output.result(&json!({"jobs": &listed}), |_, text| {
                text.table(&listed.iter().map(row).collect::<Vec<_>>());
            })
        }
        JobCommand::Show { job } => output.result(&jobs.get(job).await?, describe),
        JobCommand::Watch { job } => watch(job, connection, output).await,
        JobCommand::Cancel { job } => output.result(&jobs.cancel(job).await?, |job, text| {
            text.line(match job.state {
                JobState::Cancelled => "Cancelled.",
                JobState::Cancelling => "It stops as soon as its worker hears of it.",
                _ => "It had ended already.",
            });
        }),
    }
}

async fn watch(id: Uuid, connection: &Connection, output: Output) -> Result<()> {
    if !output.is_json() {
        let job = await_end(id, connection, output).await?;
        output.result(&job, describe)?;
        return job.into_result().map(drop).map_err(Failure::from);
    }
    let mut states = Box::pin(connection.client().jobs().watch(id));
    let mut last = None;
    while let Some(job) = states.try_next().await? {
        output.result(&job, |_, _| {})?;
        last = Some(job);
    }
    last.map_or(Ok(()), |job| job.into_result().map(drop).map_err(Failure::from))
}

/// Waits for the end of a job, behind a progress bar.
pub(crate) async fn await_end(id: Uuid, connection: &Connection, output: Output) -> Result<Job> {
    let progress = output.progress("starts");
    let jobs = connection.client().jobs();
    let mut states = Box::pin(jobs.watch(id));
    let mut said = None;
    while let Some(job) = states.try_next().await? {
        progress.job(&job);
        let retry = terminal::retry(&job);
        if let Some(retry) = retry.as_ref().filter(|_| retry != said) {
            output.note(&format!("The job {retry}."));
        }
        said = retry.or(said);
        if job.state.is_ended() {
            return Ok(job);
        }
    }
    Ok(jobs.get(id).await?)
}

/// A job in a list of such.
pub(crate) fn row(job: &Job) -> [Cell; 5] {
    [
        job.id.into(),
        word(&job.kind).into(),
        state(job),
        moment(job.created_at).into(),
        failure(job).unwrap_or_default().into(),
    ]
}

fn describe(job: &Job, text: &mut Text) {
    let or_none = |at: Option<time::OffsetDateTime>| Cell::from(at.map_or_else(|| "-".to_owned(), moment));
    text.table(&[
        ["id".into(), job.id.into()],
        ["kind".into(), word(&job.kind).into()],
        ["state".into(), state(job)],
        ["failure".into(), failure(job).unwrap_or_else(|| "-".to_owned()).into()],
        ["attempts".into(), job.attempts.into()],
        ["queued".into(), moment(job.created_at).into()],
        ["started".into(), or_none(job.started_at)],
        ["ended".into(), or_none(job.finished_at)],
    ]);
}

fn state(job: &Job) -> Cell {
    let style = match job.state {
        JobState::Succeeded => Style::Good,
        JobState::Failed => Style::Bad,
        JobState::Queued | JobState::Running | JobState::Cancelling => Style::Notice,
        _ => Style::Faint,
    };
    Cell::styled(style, word(&job.state))
}

/// Why a job failed, by the name that `--json` has for it, too.
fn failure(job: &Job) -> Option<String> {
    let reason = job.failure?.as_str_name();
    Some(reason.trim_start_matches("ERROR_REASON_").to_owned())
}

/// The name of a choice, as `--json` has it.
pub(crate) fn word(choice: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(choice).ok();
    name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
