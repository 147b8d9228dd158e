//! `hsync notifications`.

use clap::Args;
use futures::TryStreamExt as _;
use hivesync::{
    notifications::{Notification, NotificationEvent, StartAt},
    page::PageRequest,
};
use serde_json::{Value, json};

use crate::{
    connection::Connection,
    failure::Result,
    output::Output,
    schema::{NOTIFICATION, help},
    text::{Cell, Style, Text},
};

#[derive(Args)]
#[command(after_help = help(
    "  hsync notifications\n  hsync notifications --follow --json | jq .",
    "{\"notifications\": [NOTIFICATION], \"unread_count\": number}",
    &[NOTIFICATION, EVENT],
) + "\n  (with --follow, an EVENT on each line)")]
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

const EVENT: crate::schema::Shape = (
    "EVENT",
    "{\"event\": \"connected\"|\"reconnected\"|\"unknown\"}\n    \
     | {\"event\": \"gap\", \"first\": number, \"last\": number}\n    \
     | {\"event\": \"notification\", \"notification\": NOTIFICATION}",
);

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
    output.result(&result, |_, text| text.table(&listed.page.items.iter().map(row).collect::<Vec<_>>()))
}

async fn follow(after: Option<u64>, connection: &Connection, output: Output) -> Result<()> {
    let mut events = connection.client().notifications().follow(after.map_or(StartAt::Now, StartAt::After));
    while let Some(event) = events.try_next().await? {
        output.result(&document(&event), |_, text| show(&event, text))?;
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

fn show(event: &NotificationEvent, text: &mut Text) {
    match event {
        NotificationEvent::Connected => text.line(Cell::styled(Style::Faint, "Waiting for notifications.")),
        NotificationEvent::Reconnected => text.line(Cell::styled(Style::Faint, "Connected again.")),
        NotificationEvent::Gap { first, last } => {
            text.line(Cell::styled(Style::Notice, format!("Notifications {first} to {last} are gone.")));
        }
        NotificationEvent::Notification(notification) => text.table(&[row(notification)]),
        _ => {}
    }
}

fn row(notification: &Notification) -> [Cell; 3] {
    let (mark, style) = if notification.read { (" ", Style::Faint) } else { ("*", Style::Strong) };
    [mark.into(), format!("{:>4}", notification.sequence).into(), Cell::styled(style, &notification.text)]
}
