//! `hsync notifications`.

use clap::Args;
use futures::TryStreamExt as _;
use hivesync::{
    notifications::{Notification, NotificationEvent, StartAt},
    page::PageRequest,
};
use serde_json::{Value, json};

use crate::{connection::Connection, failure::Result, output::Output};

#[derive(Args)]
#[command(after_help = "\
With --json: {\"notifications\":[…],\"unread_count\"}; with --follow a line each:
  {\"event\":\"connected\"}, {\"event\":\"reconnected\"}, {\"event\":\"gap\",\"first\",\"last\"}
  {\"event\":\"notification\",\"notification\":{\"id\",\"sequence\",\"kind\",\"text\",\"team_id\",\"project_id\",
   \"subject_id\",\"read\",\"created_at\"}}")]
pub(crate) struct NotificationArguments {
    /// Show what comes from now on, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// With --follow: start after this sequence; 0 for the very first
    #[arg(long, requires = "follow")]
    after: Option<u64>,
    /// Only those not yet read
    #[arg(long, conflicts_with = "follow")]
    unread: bool,
}

pub(crate) async fn run(
    arguments: NotificationArguments,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    if arguments.follow {
        return follow(arguments.after, connection, output).await;
    }
    let listed = connection.client().notifications().list(arguments.unread, PageRequest::first()).await?;
    let result = json!({"notifications": &listed.page.items, "unread_count": listed.unread_count});
    output.result(&result, |_| listed.page.items.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn follow(after: Option<u64>, connection: &Connection, output: Output) -> Result<()> {
    let mut events = connection.client().notifications().follow(after.map_or(StartAt::Now, StartAt::After));
    while let Some(event) = events.try_next().await? {
        output.result(&document(&event), |_| text(&event))?;
    }
    Ok(())
}

fn document(event: &NotificationEvent) -> Value {
    match event {
        NotificationEvent::Connected => json!({"event": "connected"}),
        NotificationEvent::Reconnected => json!({"event": "reconnected"}),
        NotificationEvent::Gap { first, last } => json!({"event": "gap", "first": first, "last": last}),
        NotificationEvent::Notification(notification) => {
            json!({"event": "notification", "notification": notification})
        }
        _ => json!({"event": "unknown"}),
    }
}

fn text(event: &NotificationEvent) -> String {
    match event {
        NotificationEvent::Connected => "Waiting for notifications.".to_owned(),
        NotificationEvent::Reconnected => "Connected again.".to_owned(),
        NotificationEvent::Gap { first, last } => format!("Notifications {first} to {last} are gone."),
        NotificationEvent::Notification(notification) => line(notification),
        _ => String::new(),
    }
}

fn line(notification: &Notification) -> String {
    let mark = if notification.read { ' ' } else { '*' };
    format!("{mark} {:>4}  {}", notification.sequence, notification.text)
}
