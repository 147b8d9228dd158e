//! Where the session is kept between runs.

use std::sync::Arc;
#[cfg(unix)]
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

#[cfg(unix)]
use hivesync::Secret;
use hivesync::keychain::{self, SecretStore};
#[cfg(unix)]
use zeroize::Zeroizing;

use crate::failure::Result;
#[cfg(unix)]
use crate::{failure::Failure, prompt};

/// The longest first line of a file that holds a passphrase, in bytes.
#[cfg(unix)]
const PASSPHRASE_BYTES_MAX: usize = 4096;
#[cfg(unix)]
const NO_TERMINAL: &str = "There is no terminal to ask for the passphrase at. Name a file that holds it in HSYNC_SEALED_PASSPHRASE_FILE.";

/// The sealed file that HSYNC_SEALED_FILE names, which need not be there yet, else the key store of this machine.
pub(crate) async fn open() -> Result<Arc<dyn SecretStore>> {
    #[cfg(unix)]
    if let Some(file) = named("HSYNC_SEALED_FILE") {
        let passphrase = passphrase(is_missing(&file)).await?;
        return Ok(Arc::new(keychain::SealedFile::new(file, passphrase)?));
    }
    Ok(keychain::default_store().await)
}

/// As [`open`], for what somebody has signed in to: a sealed file that is not there holds nothing, and needs no
/// passphrase.
pub(crate) async fn open_existing() -> Result<Arc<dyn SecretStore>> {
    #[cfg(unix)]
    if named("HSYNC_SEALED_FILE").is_some_and(|file| is_missing(&file)) {
        return Ok(Arc::new(keychain::MemoryStore::new()));
    }
    open().await
}

#[cfg(unix)]
fn is_missing(file: &Path) -> bool {
    file.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The first line of the file that HSYNC_SEALED_PASSPHRASE_FILE names, else what is typed; twice if it is a new one.
#[cfg(unix)]
async fn passphrase(is_new: bool) -> Result<Secret> {
    match named("HSYNC_SEALED_PASSPHRASE_FILE") {
        Some(path) => {
            let unreadable = |error| {
                let path = path.display();
                Failure::Usage(format!("The file {path} of the passphrase cannot be read: {error}."))
            };
            let file = File::open(&path).map_err(unreadable)?;
            if is_open_to_others(&file).map_err(unreadable)? {
                let path = path.display();
                let say = format!(
                    "Others may read or change the file {path} of the passphrase. Run `chmod 600 {path}`."
                );
                return Err(Failure::Usage(say));
            }
            first_line(file).map_err(unreadable)
        }
        None if is_new => {
            let question = "Passphrase of the new sealed file: ";
            prompt::new_secret(question, "The passphrase again: ", NO_TERMINAL).await
        }
        None => prompt::secret("Passphrase of the sealed file: ", NO_TERMINAL).await,
    }
}

/// Whether it is kept where somebody else has access. A pipe keeps nothing.
#[cfg(unix)]
fn is_open_to_others(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && metadata.mode() & 0o077 != 0)
}

#[cfg(unix)]
fn first_line(file: File) -> io::Result<Secret> {
    // Large enough not to be moved while it grows: what is left behind would not be wiped.
    let mut line = Zeroizing::new(String::with_capacity(PASSPHRASE_BYTES_MAX));
    BufReader::new(file.take(PASSPHRASE_BYTES_MAX as u64)).read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "the environment says where the session is kept")]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
