//! `hsync config`.

use clap::Subcommand;
use serde_json::json;

use crate::{
    config_file::ConfigFile,
    failure::Result,
    output::Output,
    schema::{SETTING, help},
    settings::{Setting, SettingName, Settings},
    text::{Cell, Style},
};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, and where its value comes from
    #[command(after_help = help(
        "  hsync config list\n  HSYNC_SERVER=https://hivesync.example hsync config list",
        "{\"file\": text?, \"settings\": [SETTING]}",
        &[SETTING],
    ))]
    List,
    /// Show a setting
    #[command(after_help = help("  hsync config get server", "SETTING", &[SETTING]))]
    Get {
        /// Which
        name: SettingName,
    },
    /// Keep a setting in the configuration file
    ///
    /// The file holds no secret. It is yours alone (mode 0600), and refused if others could change it. Options
    /// and the environment win over it.
    #[command(after_help = help(
        "  hsync config set server https://hivesync.example\n  hsync config set account work",
        "SETTING",
        &[SETTING],
    ))]
    Set {
        /// Which
        name: SettingName,
        /// The value
        value: String,
    },
    /// Remove a setting from the configuration file
    #[command(after_help = help("  hsync config unset account", "SETTING", &[SETTING]))]
    Unset {
        /// Which
        name: SettingName,
    },
}

pub(crate) async fn run(
    command: ConfigCommand,
    file: &ConfigFile,
    settings: &Settings,
    output: Output,
) -> Result<()> {
    match command {
        ConfigCommand::List => {
            let path = file.path().map(|path| path.display().to_string());
            let result = json!({"file": path, "settings": settings.all()});
            output.result(&result, |_, text| {
                text.table(&settings.all().iter().map(row).collect::<Vec<_>>());
                text.line(Cell::styled(Style::Faint, format!("file: {}", path.as_deref().unwrap_or("-"))));
            })
        }
        ConfigCommand::Get { name } => show(&settings.get(name), output),
        ConfigCommand::Set { name, value } => keep(file.with(name, Some(&value)), name, output).await,
        ConfigCommand::Unset { name } => keep(file.with(name, None), name, output).await,
    }
}

/// Writes a file that says what can be, and shows what it says.
async fn keep(file: ConfigFile, name: SettingName, output: Output) -> Result<()> {
    let settings = Settings::of_file(&file);
    settings.check().await?;
    file.write()?;
    show(&settings.get(name), output)
}

fn show(setting: &Setting, output: Output) -> Result<()> {
    output.result(setting, |setting, text| {
        text.line(setting.value.as_deref().unwrap_or_default());
    })
}

fn row(setting: &Setting) -> [Cell; 3] {
    let source = serde_json::to_value(setting.source).unwrap_or_default();
    [
        setting.name.into(),
        setting.value.as_deref().unwrap_or("-").into(),
        Cell::styled(Style::Faint, source.as_str().unwrap_or_default()),
    ]
}
