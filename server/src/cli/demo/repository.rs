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
            Some(path) => {
                let path = Path::new(path);
                let top = top_level(path).await;
                Self::local(&top.with_context(|| format!("{} is not in a Git repository", path.display()))?)
            }
            None => match top_level(Path::new(".")).await {
                Some(top) => Self::local(&top),
                None => {
                    let sample = make_sample(&directory.join("sample")).await?;
                    let shown = "a small sample, since this directory is not in a Git repository".to_owned();
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

/// The repository that `path` is in, if it has a commit.
async fn top_level(path: &Path) -> Option<PathBuf> {
    git(path, &["rev-parse", "--verify", "--quiet", "HEAD"]).await.ok()?;
    let shown = git(path, &["rev-parse", "--path-format=absolute", "--git-common-dir"]).await.ok()?;
    let git_dir = PathBuf::from(shown.trim_end());
    // A bare repository is its own directory; otherwise the address is that of the work tree.
    if git_dir.file_name().is_some_and(|name| name == ".git") {
        git_dir.parent().map(Path::to_owned)
    } else {
        Some(git_dir)
    }
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
