//! `hsync project`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hivesync::projects::{MirrorState, Project};
use serde_json::json;
use uuid::Uuid;

use crate::{
    connection::Connection,
    failure::Result,
    output::Output,
    prompt,
    schema::{PROJECT, help},
    text::{Cell, Style, Text, moment},
};

#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Create a project, in your own team unless another is named
    #[command(after_help = help(
        "  hsync project create site --url https://git.example/site.git\n  \
         hsync project create site --team Engines",
        "PROJECT",
        &[PROJECT],
    ))]
    Create {
        /// What it is called
        name: String,
        /// The repository: https://, with a local server also file://
        #[arg(long)]
        url: Option<String>,
        /// The team's id or name
        #[arg(long)]
        team: Option<String>,
    },
    /// List the projects of all your teams, or of one
    #[command(after_help = help(
        "  hsync project list\n  hsync project list --team Engines --json",
        "{\"projects\": [PROJECT]}",
        &[PROJECT],
    ))]
    List {
        /// The team's id or name
        #[arg(long)]
        team: Option<String>,
    },
    /// Show a project
    #[command(after_help = help("  hsync project show site", "PROJECT", &[PROJECT]))]
    Show {
        /// The project's id or name
        project: String,
    },
    /// Delete a project with its mirror and its previews
    #[command(after_help = help(
        "  hsync project delete site\n  hsync project delete site --yes",
        "{\"deleted\": uuid}",
        &[],
    ))]
    Delete {
        /// The project's id or name
        project: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: ProjectCommand, connection: &Connection, output: Output) -> Result<()> {
    let projects = connection.client().projects();
    match command {
        ProjectCommand::Create { name, url, team } => {
            let team = connection.team_or_own(team.as_deref()).await?;
            let project = projects.create(team, &name, url.as_deref()).await?;
            output.result(&project, |project, text| {
                text.line(format!("Created {} ({}).", project.name, project.id));
            })
        }
        ProjectCommand::List { team } => list(team.as_deref(), connection, output).await,
        ProjectCommand::Show { project } => output.result(&connection.project(&project).await?, describe),
        ProjectCommand::Delete { project, yes } => {
            let project = connection.project(&project).await?;
            if !yes {
                let name = crate::text::neutral(&project.name);
                let question = format!("This deletes {name} with its mirror and previews. Type its name: ");
                prompt::confirmation(&question, &project.name).await?;
            }
            projects.delete(project.id).await?;
            output.result(&json!({"deleted": project.id}), |_, text| {
                text.line(format!("Deleted {}.", project.name));
            })
        }
    }
}

async fn list(team: Option<&str>, connection: &Connection, output: Output) -> Result<()> {
    let client = connection.client();
    let teams: Vec<Uuid> = match team {
        Some(team) => vec![connection.team(team).await?.id],
        None => client.teams().all().map_ok(|team| team.id).try_collect().await?,
    };
    let mut projects: Vec<Project> = Vec::new();
    for team in teams {
        projects.extend(client.projects().all(team).try_collect::<Vec<_>>().await?);
    }
    output.result(&json!({"projects": &projects}), |_, text| {
        let row = |project: &Project| {
            let url = project.repository_url.as_deref().unwrap_or_default();
            [project.id.into(), Cell::styled(Style::Strong, &project.name), state(project), url.into()]
        };
        text.table(&projects.iter().map(row).collect::<Vec<_>>());
    })
}

/// Writes all that is known of a project.
pub(crate) fn describe(project: &Project, text: &mut Text) {
    let or_none = |value: &Option<String>| Cell::from(value.as_deref().unwrap_or("-"));
    text.table(&[
        ["name".into(), Cell::styled(Style::Strong, &project.name)],
        ["id".into(), project.id.into()],
        ["team".into(), project.team_id.into()],
        ["repository".into(), or_none(&project.repository_url)],
        ["mirror".into(), state(project)],
        ["bytes".into(), project.mirror_bytes.into()],
        ["branch".into(), or_none(&project.default_branch)],
        ["commit".into(), or_none(&project.head_commit)],
        ["synced".into(), project.synced_at.map_or_else(|| "-".into(), |at| moment(at).into())],
    ]);
}

fn state(project: &Project) -> Cell {
    match project.mirror_state {
        MirrorState::Ready => Cell::styled(Style::Good, "ready"),
        MirrorState::Failed => Cell::styled(Style::Bad, "failed"),
        MirrorState::Pending => Cell::styled(Style::Notice, "pending"),
        MirrorState::Unlinked => Cell::styled(Style::Faint, "unlinked"),
        _ => "unknown".into(),
    }
}
