//! `hsync team`.

use clap::{Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hivesync::{
    ErrorReason, page,
    teams::{Invitation, Member, Team, TeamRole, Teams},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    job::word,
    output::Output,
    schema::{INVITATION, MEMBER, ROLE, TEAM, help},
    text::{Cell, Style, moment},
};

#[derive(Subcommand)]
pub(crate) enum TeamCommand {
    /// List your teams
    #[command(after_help = help("  hsync team list", "{\"teams\": [TEAM]}", &[TEAM, ROLE]))]
    List,
    /// Create a team that you own
    #[command(after_help = help("  hsync team create Engines", "TEAM", &[TEAM, ROLE]))]
    Create {
        /// What it is called
        name: String,
    },
    /// List the members of a team
    #[command(after_help = help(
        "  hsync team members Engines",
        "{\"members\": [MEMBER]}",
        &[MEMBER, ROLE],
    ))]
    Members {
        /// The team's id or name
        team: String,
    },
    /// Invite a person to a team
    ///
    /// The person sees it in `hsync team invitations`; whoever has an account already is notified, too. To somebody
    /// without an account it shows once they have registered this address.
    #[command(after_help = help(
        "  hsync team invite Engines bob@example.org\n  \
         hsync team invite Engines eve@example.org --role guest",
        "INVITATION",
        &[INVITATION, ROLE],
    ))]
    Invite {
        /// The team's id or name
        team: String,
        /// The e-mail address of the person's account
        email: String,
        /// What the person may do
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
    },
    /// List the invitations that wait for your answer
    #[command(after_help = help(
        "  hsync team invitations",
        "{\"invitations\": [INVITATION]}",
        &[INVITATION, ROLE],
    ))]
    Invitations,
    /// Accept an invitation
    #[command(after_help = help(
        "  hsync team accept Engines\n  hsync team accept 0192f0c4-5e1a-7b2c-9d3e-4f5061728394",
        "MEMBER",
        &[MEMBER, ROLE],
    ))]
    Accept {
        /// The invitation's id, or the name of the team
        invitation: String,
    },
}

/// What can be offered.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// Manage members and projects
    Admin,
    /// Work on projects
    Member,
    /// Read
    Guest,
}

impl From<Role> for TeamRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Guest => Self::Guest,
        }
    }
}

pub(crate) async fn run(command: TeamCommand, connection: &Connection, output: Output) -> Result<()> {
    let teams = connection.client().teams();
    match command {
        TeamCommand::List => list(&teams, output).await,
        TeamCommand::Create { name } => output.result(&teams.create(&name).await?, |team, text| {
            text.line(format!("Created {} ({}).", team.name, team.id));
        }),
        TeamCommand::Members { team } => members(connection.team(&team).await?.id, &teams, output).await,
        TeamCommand::Invite { team, email, role } => {
            invite(&connection.team(&team).await?, &email, role.into(), &teams, output).await
        }
        TeamCommand::Invitations => invitations(&teams, output).await,
        TeamCommand::Accept { invitation } => {
            let member = teams.accept(connection.invitation(&invitation).await?).await?;
            output.result(&member, |member, text| {
                text.line(format!("You are a {} of team {} now.", word(&member.role), member.team_id));
            })
        }
    }
}

async fn list(teams: &Teams, output: Output) -> Result<()> {
    let listed: Vec<Team> = teams.all().try_collect().await?;
    output.result(&json!({"teams": &listed}), |_, text| {
        text.table(&listed.iter().map(team_row).collect::<Vec<_>>());
    })
}

async fn members(team_id: Uuid, teams: &Teams, output: Output) -> Result<()> {
    let members: Vec<Member> = teams.all_members(team_id).try_collect().await?;
    output.result(&json!({"members": &members}), |_, text| {
        text.table(&members.iter().map(member_row).collect::<Vec<_>>());
    })
}

async fn invite(team: &Team, email: &str, role: TeamRole, teams: &Teams, output: Output) -> Result<()> {
    let invited = teams.invite(team.id, email, role).await.map_err(Failure::from);
    let invitation = invited.map_err(|failure| {
        let message = format!("{email} is in the team {} already, or is invited to it already.", team.name);
        let next = format!("Run `hsync team members {}` to see who is in it.", team.id);
        failure.told(ErrorReason::AlreadyExists, message, next)
    })?;
    output.result(&invitation, |invitation, text| {
        let until = moment(invitation.expires_at);
        text.line(format!("Invited {email} to {} until {until}.", invitation.team_name));
    })
}

async fn invitations(teams: &Teams, output: Output) -> Result<()> {
    let waiting = page::stream(|page| teams.my_invitations(page));
    let waiting: Vec<Invitation> = waiting.try_collect().await?;
    output.result(&json!({"invitations": &waiting}), |_, text| {
        text.table(&waiting.iter().map(invitation_row).collect::<Vec<_>>());
    })
}

fn team_row(team: &Team) -> [Cell; 4] {
    let own = if team.personal { "your own" } else { "" };
    [team.id.into(), Cell::styled(Style::Strong, &team.name), word(&team.role).into(), own.into()]
}

fn member_row(member: &Member) -> [Cell; 4] {
    let name = Cell::styled(Style::Strong, &member.display_name);
    [member.user_id.into(), name, word(&member.role).into(), moment(member.joined_at).into()]
}

fn invitation_row(invitation: &Invitation) -> [Cell; 4] {
    let name = Cell::styled(Style::Strong, &invitation.team_name);
    [invitation.id.into(), name, word(&invitation.role).into(), moment(invitation.expires_at).into()]
}
