//! Git repositories to link: ordinary ones, and ones made to do harm.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use url::Url;

/// A repository in a temporary directory. Every commit has the same time and author, so that object ids repeat.
pub struct Repository {
    directory: TempDir,
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// An empty repository, whose branch is `main`.
    #[must_use]
    pub fn new() -> Self {
        let repository = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        repository.git(&["init", "--quiet", "--initial-branch=main", "--template="]);
        repository
    }

    /// A small repository with a page, a picture and a directory.
    #[must_use]
    pub fn sample() -> Self {
        let repository = Self::new();
        repository.write("index.html", b"<!doctype html><script src=app/main.js></script>\n");
        repository.write("app/main.js", b"document.title = 'HiveSync';\n");
        repository.write("app/logo.bin", &[0, 1, 2, 3, 255, 254]);
        repository.commit("Begin");
        repository
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its `file://` address.
    #[must_use]
    pub fn url(&self) -> String {
        Url::from_file_path(self.path()).expect("an absolute path").into()
    }

    /// Writes a file of the work tree.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("below the repository")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Commits the whole work tree; returns the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The commit at the head.
    #[must_use]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits a tree with one entry more, which may have any name and mode: `100644`, `120000` (a symbolic link)
    /// or `160000` (a commit of another repository).
    pub fn commit_entry(&self, mode: &str, name: &str, content: &[u8]) -> String {
        let (kind, object) = match mode {
            "160000" => ("commit", "1".repeat(40)),
            _ => ("blob", self.git_with(&["hash-object", "-w", "--stdin"], content)),
        };
        let mut entries = self.git(&["ls-tree", "HEAD"]);
        entries.push_str(&format!("\n{mode} {kind} {object}\t{name}\n"));
        let tree = self.git_with(&["mktree", "--missing"], entries.trim_start().as_bytes());
        let commit = self.git(&["commit-tree", &tree, "-p", "HEAD", "-m", "An entry"]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    /// Commits the tree of the head again, by an author and with a message of any bytes.
    pub fn commit_as(&self, author: &[u8], message: &[u8]) -> String {
        let (tree, parent) = (self.git(&["rev-parse", "HEAD^{tree}"]), self.head());
        let data = [
            format!("tree {tree}\nparent {parent}\nauthor ").as_bytes(),
            author,
            b" <ada@example.com> 1700000000 +0000\ncommitter Ada <ada@example.com> 1700000000 +0000\n\n",
            message,
        ]
        .concat();
        let commit = self.git_with(&["hash-object", "-w", "--literally", "-t", "commit", "--stdin"], &data);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    /// Packs every object, then damages the pack.
    pub fn break_pack(&self) {
        self.git(&["repack", "-a", "-d", "--quiet"]);
        let packs = fs::read_dir(self.path().join(".git/objects/pack")).expect("packs");
        for entry in packs.map(|entry| entry.expect("readable").path()) {
            if entry.extension().is_some_and(|extension| extension == "pack") {
                let mut bytes = fs::read(&entry).expect("readable");
                let middle = bytes.len() / 2;
                for byte in &mut bytes[middle..middle + 8] {
                    *byte ^= 0xff;
                }
                fs::remove_file(&entry).expect("packs are read-only");
                fs::write(&entry, bytes).expect("writable");
            }
        }
    }

    /// Runs git in the repository; returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(["-c", "core.protectHFS=false", "-c", "core.protectNTFS=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git is installed");
        child.stdin.take().expect("piped").write_all(input).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }
}
