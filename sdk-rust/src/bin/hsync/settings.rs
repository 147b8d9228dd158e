//! What a run goes by: options, then the environment, then the configuration file, then what is built in.

use std::{fmt, fs::File, io::Read as _, sync::Arc};

use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};
use hivesync::{
    Client,
    keychain::{MemoryStore, SecretStore},
};
use serde::Serialize;

use crate::{
    config_file::ConfigFile,
    failure::{Failure, Result},
};

/// What the options that every command has are listed under.
pub(crate) const EVERYWHERE: &str = "Options of every command";
const SERVER_DEFAULT: &str = "http://127.0.0.1:7440";
const ACCOUNT_DEFAULT: &str = "default";
/// The largest file of certificates that is read, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;

/// The settings, as options and environment variables.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingArguments {
    /// The server, such as https://hivesync.example
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL", env = "HSYNC_SERVER")]
    server: Option<String>,
    /// Which of several accounts on the server, by a name of your own
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME", env = "HSYNC_ACCOUNT")]
    account: Option<String>,
    /// A PEM file of certificates to trust beside the system's
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "HSYNC_CA_FILE")]
    ca_file: Option<String>,
}

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SettingName {
    /// The server
    Server,
    /// Which of several accounts on the server
    Account,
    /// A PEM file of certificates to trust beside the system's
    CaFile,
}

impl SettingName {
    pub(crate) const ALL: [Self; 3] = [Self::Server, Self::Account, Self::CaFile];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Account => "account",
            Self::CaFile => "ca_file",
        }
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Option,
    Environment,
    File,
    Default,
}

/// A value, and where it comes from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
}

/// What a run goes by.
#[derive(Clone, Debug)]
pub(crate) struct Settings([Setting; 3]);

impl Settings {
    /// Puts together what the command line, the environment and the file say.
    pub(crate) fn resolve(arguments: &SettingArguments, matches: &ArgMatches, file: &ConfigFile) -> Self {
        Self::layered(arguments, file, |name| match matches.value_source(name.as_str()) {
            Some(ValueSource::EnvVariable) => Source::Environment,
            _ => Source::Option,
        })
    }

    /// What the file alone says.
    pub(crate) fn of_file(file: &ConfigFile) -> Self {
        Self::layered(&SettingArguments::default(), file, |_| Source::Option)
    }

    fn layered(
        arguments: &SettingArguments,
        file: &ConfigFile,
        source_of: impl Fn(SettingName) -> Source,
    ) -> Self {
        Self(SettingName::ALL.map(|name| {
            let (given, default) = match name {
                SettingName::Server => (&arguments.server, Some(SERVER_DEFAULT)),
                SettingName::Account => (&arguments.account, Some(ACCOUNT_DEFAULT)),
                SettingName::CaFile => (&arguments.ca_file, None),
            };
            let (value, source) = match (given, file.get(name)) {
                (Some(given), _) => (Some(given.as_str()), source_of(name)),
                (None, Some(kept)) => (Some(kept), Source::File),
                (None, None) => (default, Source::Default),
            };
            Setting { name: name.as_str(), value: value.map(str::to_owned), source }
        }))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Setting] {
        &self.0
    }

    /// One of them.
    pub(crate) fn get(&self, name: SettingName) -> Setting {
        let found = self.0.iter().find(|setting| setting.name == name.as_str());
        found.cloned().unwrap_or(Setting { name: name.as_str(), value: None, source: Source::Default })
    }

    /// A client by these settings, which keeps its session in `store`.
    pub(crate) async fn client(&self, store: Arc<dyn SecretStore>) -> Result<Client> {
        let value = |name| self.get(name).value.unwrap_or_default();
        let mut builder = Client::builder(value(SettingName::Server))
            .account(value(SettingName::Account))
            .device_name(format!("hsync on {}", std::env::consts::OS))
            .user_agent(concat!("hsync/", env!("CARGO_PKG_VERSION")))
            .secret_store(store);
        if let Some(path) = self.get(SettingName::CaFile).value {
            builder = builder.root_certificates(certificates(&path)?);
        }
        Ok(builder.build().await?)
    }

    /// Whether a client could be made of these settings. Asks no server.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) async fn check(&self) -> Result<()> {
        self.client(Arc::new(MemoryStore::new())).await.map(drop)
    }
}

fn certificates(path: &str) -> Result<Vec<u8>> {
    let unusable = |why: &dyn fmt::Display| Failure::Usage(format!("The file {path} of certificates {why}."));
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(CA_BYTES_MAX + 1).read_to_end(&mut pem));
    match read {
        Ok(length) if length as u64 <= CA_BYTES_MAX => Ok(pem),
        Ok(_) => Err(unusable(&"is larger than 1 MiB")),
        Err(error) => Err(unusable(&format_args!("cannot be read: {error}"))),
    }
}
