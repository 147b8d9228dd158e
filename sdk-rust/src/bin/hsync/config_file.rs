//! The configuration file: what a person does not want to type every time. It holds no secret, and is read
//! only if nobody else can change it, because the password goes where it says.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use crate::{
    failure::{Failure, Result},
    settings::SettingName,
};

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// The settings that are kept, and where.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: Option<PathBuf>,
    kept: Table,
}

impl ConfigFile {
    /// Reads the file of this user, which need not be there.
    ///
    /// # Errors
    ///
    /// `Usage` if others can change it, or it does not hold settings. Says how to mend it.
    pub(crate) fn read() -> Result<Self> {
        let Some(path) = default_path() else { return Ok(Self { path: None, kept: Table::new() }) };
        let refuse = |why: &str| Failure::Usage(format!("The configuration file {} {why}", path.display()));
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(Refusal::Io(error)) => return Err(refuse(&format!("cannot be read: {error}."))),
            Err(Refusal::Mode) => {
                let mend = format!("can be read or changed by others. Run `chmod 600 {}`.", path.display());
                return Err(refuse(&mend));
            }
            Err(Refusal::Owner) => return Err(refuse("belongs to somebody else. Remove it.")),
            Err(Refusal::Size) => return Err(refuse("is larger than 64 KiB. Remove it.")),
        };
        let kept = parse(&text).map_err(|why| refuse(&why))?;
        Ok(Self { path: Some(path), kept })
    }

    /// Where it is, if this user has a place for it.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What it says.
    pub(crate) fn get(&self, name: SettingName) -> Option<&str> {
        self.kept.get(name.as_str()).and_then(Value::as_str)
    }

    /// The same file with another value, or without one. Not written yet.
    pub(crate) fn with(&self, name: SettingName, value: Option<&str>) -> Self {
        let mut changed = self.clone();
        match value {
            Some(value) => changed.kept.insert(name.to_string(), Value::String(value.to_owned())),
            None => changed.kept.remove(name.as_str()),
        };
        changed
    }

    /// Writes it, for this user alone and all at once.
    ///
    /// # Errors
    ///
    /// If the directory or the file cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        let (path, directory) =
            self.path.as_deref().and_then(|path| Some((path, path.parent()?))).ok_or_else(|| {
                Failure::Usage("There is no place for a configuration file. Set HOME.".to_owned())
            })?;
        create_private_directory(directory)?;
        let staging = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = write_private(&staging, self.kept.to_string().as_bytes());
        let moved = written.and_then(|()| fs::rename(&staging, path));
        if moved.is_err() {
            // The error that is told is the one that came first.
            let _ = fs::remove_file(&staging);
        }
        Ok(moved?)
    }
}

/// The settings in `text`, or why it holds something else.
fn parse(text: &str) -> Result<Table, String> {
    let kept = text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.lines().count().max(1);
        format!("is no TOML in line {line}: {}. Correct or remove it.", error.message())
    })?;
    for (name, value) in &kept {
        if !SettingName::ALL.iter().any(|known| known.as_str() == name) {
            let known = SettingName::ALL.map(SettingName::as_str).join(", ");
            return Err(format!("sets `{name}`, which is none of {known}. Correct or remove it."));
        }
        if !value.is_str() {
            return Err(format!("sets `{name}` to what is no text. Put it in quotes."));
        }
    }
    Ok(kept)
}

/// Why a file is not read.
enum Refusal {
    Io(io::Error),
    Mode,
    Owner,
    Size,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a file that only this user can read and change.
fn read_private(path: &Path) -> Result<String, Refusal> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Refusal::Owner);
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(Refusal::Mode);
        }
    }
    if metadata.len() > BYTES_MAX {
        return Err(Refusal::Size);
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn create_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Where the file of this user is: where `HSYNC_CONFIG` says, or in the directory for such files.
#[allow(clippy::disallowed_methods, reason = "where a user's files are is told by the environment alone")]
fn default_path() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = from("HSYNC_CONFIG") {
        return Some(path);
    }
    let directory = if cfg!(windows) {
        from("APPDATA")
    } else {
        from("XDG_CONFIG_HOME").or_else(|| from("HOME").map(|home| home.join(".config")))
    };
    directory.map(|directory| directory.join("hivesync").join("hsync.toml"))
}
