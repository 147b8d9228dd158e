//! `hsync project`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hivesync::projects::Project;
use serde_json::json;
use uuid::Uuid;

use crate::{
    connection::Connection,
    failure::Result,
    output::{Output, table},
};

pub(crate) const AFTER_HELP: &str = "\
With --json, a project is {\"id\",\"team_id\",\"name\",\"repository_url\",\"mirror_state\",\"head_commit\",
\"default_branch\",\"mirror_bytes\",\"synced_at\",\"created_at\"}, and a list {\"projects\":[…]}";

#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Create a project, in your own team unless another is named
    Create {
        /// What it is called
        name: String,
        /// The repository: https:// or ssh://, with a local server also file://
        #[arg(long)]
        url: Option<String>,
        /// The team
        #[arg(long)]
        team: Option<Uuid>,
    },
    /// List the projects of all your teams, or of one
    List {
        /// The team
        #[arg(long)]
        team: Option<Uuid>,
    },
    /// Show a project
    Show {
        /// The project's id or name
        project: String,
    },
}

pub(crate) async fn run(command: ProjectCommand, connection: &Connection, output: Output) -> Result<()> {
    let client = connection.client();
    match command {
        ProjectCommand::Create { name, url, team } => {
            let team = match team {
                Some(team) => team,
                None => client.users().me().await?.personal_team_id,
            };
            let project = client.projects().create(team, &name, url.as_deref()).await?;
            output.result(&project, |project| format!("Created {} ({}).", project.name, project.id))
        }
        ProjectCommand::List { team } => list(team, connection, output).await,
        ProjectCommand::Show { project } => output.result(&connection.project(&project).await?, describe),
    }
}

async fn list(team: Option<Uuid>, connection: &Connection, output: Output) -> Result<()> {
    let client = connection.client();
    let teams = match team {
        Some(team) => vec![team],
        None => client.teams().all().map_ok(|team| team.id).try_collect().await?,
    };
    let mut projects: Vec<Project> = Vec::new();
    for team in teams {
        projects.extend(client.projects().all(team).try_collect::<Vec<_>>().await?);
    }
    output.result(&json!({"projects": &projects}), |_| {
        let row = |project: &Project| {
            [project.id.to_string(), project.name.clone(), project.repository_url.clone().unwrap_or_default()]
        };
        table(&projects.iter().map(row).collect::<Vec<_>>())
    })
}

fn describe(project: &Project) -> String {
    let none = || "-".to_owned();
    table(&[
        ["name".to_owned(), project.name.clone()],
        ["id".to_owned(), project.id.to_string()],
        ["team".to_owned(), project.team_id.to_string()],
        ["repository".to_owned(), project.repository_url.clone().unwrap_or_else(none)],
        [
            "mirror".to_owned(),
            format!("{:?}, {} bytes", project.mirror_state, project.mirror_bytes).to_lowercase(),
        ],
        ["branch".to_owned(), project.default_branch.clone().unwrap_or_else(none)],
        ["commit".to_owned(), project.head_commit.clone().unwrap_or_else(none)],
        ["synced".to_owned(), project.synced_at.map_or_else(none, |at| at.to_string())],
    ])
}
