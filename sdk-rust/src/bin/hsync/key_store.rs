//! Where the session is kept between runs.

use std::sync::Arc;
#[cfg(unix)]
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use hivesync::Secret;
use hivesync::keychain::{self, SecretStore};

use crate::failure::Result;
#[cfg(unix)]
use crate::{failure::Failure, prompt};

/// The longest first line of a file that holds a passphrase, in bytes.
#[cfg(unix)]
const PASSPHRASE_BYTES_MAX: u64 = 4096;
#[cfg(unix)]
const NO_TERMINAL: &str = "There is no terminal to ask for the passphrase at. Name a file that holds it in HSYNC_SEALED_PASSPHRASE_FILE.";

/// The sealed file that HSYNC_SEALED_FILE names, else the key store of this machine.
pub(crate) async fn open() -> Result<Arc<dyn SecretStore>> {
    #[cfg(unix)]
    if let Some(file) = named("HSYNC_SEALED_FILE") {
        return Ok(Arc::new(keychain::SealedFile::new(file, passphrase().await?)?));
    }
    Ok(keychain::default_store().await)
}

/// The first line of the file that HSYNC_SEALED_PASSPHRASE_FILE names, else what is typed.
#[cfg(unix)]
async fn passphrase() -> Result<Secret> {
    match named("HSYNC_SEALED_PASSPHRASE_FILE") {
        Some(file) => first_line(&file).map_err(|error| {
            let path = file.display();
            Failure::Usage(format!("The file {path} of the passphrase cannot be read: {error}."))
        }),
        None => prompt::secret("Passphrase of the sealed file: ", NO_TERMINAL).await,
    }
}

#[cfg(unix)]
fn first_line(path: &Path) -> std::io::Result<Secret> {
    let mut line = String::new();
    BufReader::new(File::open(path)?.take(PASSPHRASE_BYTES_MAX)).read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "the environment says where the session is kept")]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
