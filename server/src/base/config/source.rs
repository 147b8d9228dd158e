//! Where settings come from: the environment, a file, and files that hold one secret each.
#![allow(clippy::disallowed_methods, reason = "this is the place that reads the environment")]

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ipnet::IpNet;

use crate::base::{
    config::{Environment, ForwardedHeader, TlsFiles},
    entropy::Entropy,
    secret::{Secret, SecretText},
};

/// The largest file that may hold one secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A setting that is missing or wrong, and how to mend it. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting or the check.
    pub name: String,
    /// What is wrong.
    pub problem: String,
    /// How to mend it.
    pub mend: String,
}

impl Fault {
    /// A fault of the setting or check `name`.
    pub fn new(name: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name: name.into(), problem: problem.into(), mend: mend.into() }
    }
}

/// The raw settings, by name.
#[derive(Clone, Default)]
pub struct Source {
    settings: BTreeMap<String, String>,
    /// The names that were asked for, so that a test can hold the reference against them.
    #[cfg(test)]
    asked: std::sync::Arc<std::sync::Mutex<std::collections::BTreeSet<String>>>,
}

impl Source {
    /// The process's environment.
    #[must_use]
    pub fn environment() -> Self {
        // A variable that is not Unicode is none of ours, and must not end the process.
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let mut source = Self::default();
        source
            .settings
            .extend(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))));
        source
    }

    /// The settings of `self`, and for those it lacks, the ones of the TOML file at `path`.
    ///
    /// # Errors
    /// A fault if the file cannot be read, or holds something else than names with simple values.
    pub fn with_file(mut self, path: &Path) -> Result<Self, Fault> {
        let fault = |problem| {
            Fault::new(path.display().to_string(), problem, "give a TOML file of NAME = \"value\" lines")
        };
        let text = fs::read_to_string(path).map_err(|_| fault("cannot be read"))?;
        let table: toml::Table = text.parse().map_err(|_| fault("is not TOML"))?;
        for (name, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                _ => return Err(fault("holds a value that is not text, a number or a truth value")),
            };
            self.settings.entry(name).or_insert(value);
        }
        Ok(self)
    }

    /// The same settings with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// The setting `name`, unless it is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        #[cfg(test)]
        self.asked.lock().unwrap().insert(name.to_owned());
        self.settings.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The names that were asked for.
    #[cfg(test)]
    pub fn asked(&self) -> std::collections::BTreeSet<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The setting `name` as a list that is separated by commas.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

/// Reads settings and collects what is wrong with them.
pub(super) struct Reader<'a> {
    source: &'a Source,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, name: &str, problem: &str, mend: &str) {
        self.faults.push(Fault::new(name, problem, mend.replace("NAME", name)));
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    pub(super) fn parsed_optional<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.source.text(name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(name, "cannot be understood", "correct NAME or remove it");
        }
        parsed
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, default: T) -> T {
        self.parsed_optional(name).unwrap_or(default)
    }

    pub(super) fn switch(&mut self, name: &str, default: bool) -> bool {
        match self.source.text(name).as_deref() {
            None => default,
            Some("on" | "true") => true,
            Some("off" | "false") => false,
            Some(_) => {
                self.fault(name, "is neither on nor off", "set NAME to on or off");
                default
            }
        }
    }

    pub(super) fn environment(&mut self) -> Environment {
        match self.source.text("HIVESYNC_ENV").as_deref() {
            None | Some("local") => Environment::Local,
            Some("staging") => Environment::Staging,
            Some("production") => Environment::Production,
            Some(_) => {
                self.fault(
                    "HIVESYNC_ENV",
                    "is not an environment",
                    "set NAME to local, staging or production",
                );
                Environment::Production
            }
        }
    }

    pub(super) fn forwarded_header(&mut self) -> ForwardedHeader {
        match self.source.text("FORWARDED_HEADER").as_deref() {
            None | Some("x-forwarded-for") => ForwardedHeader::XForwardedFor,
            Some("forwarded") => ForwardedHeader::Forwarded,
            Some(_) => {
                self.fault(
                    "FORWARDED_HEADER",
                    "is not a known header",
                    "set NAME to x-forwarded-for or forwarded",
                );
                ForwardedHeader::XForwardedFor
            }
        }
    }

    pub(super) fn networks(&mut self, name: &str) -> Vec<IpNet> {
        self.parsed_list(name, "holds something that is not a network", "write NAME like 10.0.0.0/8,fd00::/8")
    }

    pub(super) fn ports(&mut self, name: &str) -> Vec<u16> {
        self.parsed_list(name, "holds something that is not a port", "write NAME like 8443,9443")
    }

    fn parsed_list<T: FromStr>(&mut self, name: &str, problem: &'static str, mend: &'static str) -> Vec<T> {
        let parsed: Option<Vec<_>> = self.source.list(name).iter().map(|item| item.parse().ok()).collect();
        parsed.unwrap_or_else(|| {
            self.fault(name, problem, mend);
            Vec::new()
        })
    }

    /// The secret `name`: from the variable, or from the file that `<name>_FILE` names.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.secret_text(name).map(|text| Secret::from(text.expose()))
    }

    pub(super) fn secret_text(&mut self, name: &'static str) -> Option<SecretText> {
        if let Some(text) = self.source.text(name) {
            return Some(SecretText::new(text));
        }
        let path = self.source.text(&format!("{name}_FILE"))?;
        match read_secret_file(Path::new(&path)) {
            Ok(secret) => Some(secret),
            Err(_) => {
                self.fault(
                    name,
                    "stands in a file that cannot be read",
                    "make NAME_FILE readable for this user",
                );
                None
            }
        }
    }

    pub(super) fn tls_files(&mut self) -> Option<TlsFiles> {
        match (self.source.text("TLS_CERT_FILE"), self.source.text("TLS_KEY_FILE")) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => {
                self.fault("TLS_CERT_FILE", "and TLS_KEY_FILE are not both set", "set both or neither");
                None
            }
        }
    }

    pub(super) fn data_dir(&mut self) -> PathBuf {
        let default = || {
            let home = self.source.text("HOME").map(|home| Path::new(&home).join(".local/share"));
            let base = self.source.text("XDG_DATA_HOME").map(PathBuf::from).or(home)?;
            Some(base.join("hivesync"))
        };
        let directory = self.source.text("DATA_DIR").map(PathBuf::from).or_else(default);
        match directory.and_then(|directory| std::path::absolute(directory).ok()) {
            Some(directory) => directory,
            None => {
                self.fault("DATA_DIR", "is missing", "set NAME to a directory of this user's own");
                PathBuf::new()
            }
        }
    }
}

fn read_secret_file(path: &Path) -> io::Result<SecretText> {
    if fs::metadata(path)?.len() > SECRET_FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let text = SecretText::new(fs::read_to_string(path)?);
    Ok(SecretText::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
}

/// The secret in `directory/<name>`, made at the first use.
pub(super) fn generated_secret(directory: &Path, name: &str) -> io::Result<Secret> {
    private_directory(directory)?;
    let path = directory.join(name.to_ascii_lowercase());
    match read_secret_file(&path) {
        Ok(secret) => return Ok(Secret::from(secret.expose())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let random: [u8; 32] = Entropy::default().bytes().map_err(io::Error::other)?;
    let text = SecretText::new(URL_SAFE_NO_PAD.encode(random));
    // Written beside its place and linked into it: a second process that starts at the same moment reads
    // the whole secret of the first, and a power cut leaves none or all of it.
    let draft = directory.join(format!(".{}.{}", name.to_ascii_lowercase(), std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    io::Write::write_all(&mut file, text.expose().as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(Secret::from(read_secret_file(&path)?.expose())),
    }
}

/// Makes `directory`, and its parents, for this user only.
///
/// # Errors
/// If the directory cannot be made or its mode cannot be set.
pub fn private_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}
