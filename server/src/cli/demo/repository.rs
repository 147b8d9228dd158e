//! The repository that the demonstration is given on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use url::Url;

/// Where the repository is.
pub(super) struct Repository {
    /// Its address, for the server.
    pub(super) url: String,
    /// What it is, for the reader.
    pub(super) shown: String,
}

impl Repository {
    /// The one that `source` names, or the one we are in, or else a sample made in `directory`.
    pub(super) async fn find(source: Option<&str>, directory: &Path) -> Result<Self> {
        match source {
            Some(url) if url.contains("://") => Ok(Self { url: url.to_owned(), shown: url.to_owned() }),
            Some(path) => match top_level(Path::new(path)).await {
                Ok(top) => Self::local(&top),
                Err(lack) => bail!("{path} {lack}"),
            },
            None => match top_level(Path::new(".")).await {
                Ok(top) => Self::local(&top),
                Err(lack) => {
                    let sample = make_sample(&directory.join("sample")).await?;
                    let shown = format!("a small sample, since this directory {lack}");
                    Ok(Self { shown, ..Self::local(&sample)? })
                }
            },
        }
    }

    fn local(path: &Path) -> Result<Self> {
        match Url::from_file_path(path) {
            Ok(url) => Ok(Self { url: url.into(), shown: path.display().to_string() }),
            Err(()) => bail!("{} is not an absolute path", path.display()),
        }
    }
}

/// The repository that `path` is in; or else why that cannot be shown, as the end of a sentence about the path.
async fn top_level(path: &Path) -> Result<PathBuf, &'static str> {
    if !path.is_dir() {
        return Err("is not a directory");
    }
    let place = git(path, &["rev-parse", "--path-format=absolute", "--git-common-dir"]).await;
    let git_dir = PathBuf::from(place.map_err(|_| "is not in a Git repository")?.trim_end());
    let head = git(path, &["rev-parse", "--verify", "--quiet", "HEAD"]).await;
    head.map_err(|_| "has no commit yet")?;
    // A bare repository is its own directory; otherwise the address is that of the work tree.
    Ok(match git_dir.parent() {
        Some(top) if git_dir.file_name().is_some_and(|name| name == ".git") => top.to_owned(),
        _ => git_dir,
    })
}

async fn make_sample(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path.join("src"))?;
    let page = "<!doctype html>\n<title>Hello</title>\n<script src=\"src/app.js\"></script>\n";
    std::fs::write(path.join("index.html"), page)?;
    std::fs::write(path.join("src/app.js"), "document.body.textContent = \"Hello from HiveSync\";\n")?;
    std::fs::write(path.join("README.md"), "# Sample\n\nMade by `hivesync demo`.\n")?;
    git(path, &["init", "--quiet", "--initial-branch=main"]).await?;
    git(path, &["add", "--all"]).await?;
    let commit =
        ["-c", "user.name=Ada", "-c", "user.email=ada@demo.example", "commit", "--quiet", "-m", "Say hello"];
    git(path, &commit).await?;
    Ok(path.to_owned())
}

async fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .context("git cannot be started; install it")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
