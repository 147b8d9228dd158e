//! Mirrors as git makes them, and as nobody should.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::{super::model::EntryKind, *};
use crate::base::error::Reason;

const PROJECT: ProjectId = ProjectId(Uuid::from_u128(7));
const READER: UserId = UserId(Uuid::from_u128(8));
/// The empty blob, as every git names it.
const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// A mirror of its own, written by git.
struct Mirror {
    root: TempDir,
}

impl Mirror {
    fn new() -> Self {
        let mirror = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(mirror.git_dir()).unwrap();
        for directory in [mirror.repos(), mirror.repos().join(PROJECT.to_string()), mirror.git_dir()] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
        mirror.git(&["init", "--quiet", "--bare", "--template=", "."], b"");
        mirror
    }

    fn repos(&self) -> PathBuf {
        self.root.path().join("repos")
    }

    fn git_dir(&self) -> PathBuf {
        self.repos().join(PROJECT.to_string()).join("git")
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.git_dir())
            .envs([
                ("GIT_DIR", "."),
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.org"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn blob(&self, content: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], content)
    }

    /// A tree of (mode, name, object), in whatever order and with whatever names.
    fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut data = Vec::new();
        for (mode, name, object) in entries {
            data.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            data.extend_from_slice(CommitId::parse(object).unwrap().as_bytes());
        }
        self.git(&["hash-object", "-w", "--literally", "-t", "tree", "--stdin"], &data)
    }

    fn commit(&self, tree: &str) -> CommitId {
        CommitId::parse(&self.git(&["commit-tree", "-m", "c", tree], b"")).unwrap()
    }

    fn mirrors(&self) -> Mirrors {
        Mirrors::new(self.repos(), Tasks::default())
    }

    /// A commit of these seconds, whose message is its name.
    fn commit_at(&self, secs: i64, name: &str, parents: &[CommitId]) -> CommitId {
        let mut data = format!("tree {}\n", self.tree(&[])).into_bytes();
        for parent in parents {
            data.extend_from_slice(format!("parent {parent}\n").as_bytes());
        }
        let who = format!("Ada <ada@example.org> {secs} +0000");
        data.extend_from_slice(format!("author {who}\ncommitter {who}\n\n{name}\n").as_bytes());
        self.raw_commit(&data)
    }

    fn raw_commit(&self, data: &[u8]) -> CommitId {
        let id = self.git(&["hash-object", "-w", "--literally", "-t", "commit", "--stdin"], data);
        CommitId::parse(&id).unwrap()
    }

    async fn log(&self, start: CommitId, wanted: usize, passed: Option<Passed>) -> Result<Commits> {
        self.mirrors().log(READER, PROJECT, start, wanted, passed).await
    }

    async fn list(&self, commit: CommitId, directory: &[&str], recursive: bool) -> Result<Entries> {
        let directory = directory.iter().map(|name| (*name).to_owned()).collect();
        let listing = Listing { directory, recursive, wanted: 1_000, cursor: None };
        self.mirrors().list(READER, PROJECT, commit, listing).await
    }

    async fn file(&self, commit: CommitId, path: &str) -> Result<FileContent> {
        let path = path.split('/').map(str::to_owned).collect();
        Ok(self.mirrors().file(READER, PROJECT, commit, path).await?.0)
    }

    fn loose_object(&self, id: &str) -> PathBuf {
        self.git_dir().join("objects").join(&id[..2]).join(&id[2..])
    }
}

fn paths(entries: &Entries) -> Vec<(&str, EntryKind, u64)> {
    entries.listed.iter().map(|entry| (entry.path.as_str(), entry.kind, entry.size)).collect()
}

fn reason<T>(result: Result<T>) -> Reason {
    result.err().expect("it is refused").reason()
}

#[tokio::test]
async fn a_tree_is_listed_in_the_order_of_git_and_nothing_is_followed() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"hello\n");
    let link = mirror.blob(b"/etc/passwd");
    let inner = mirror.tree(&[("100644", "deep.txt", &file)]);
    let root = mirror.tree(&[
        ("120000", "a-link", &link),
        ("100644", "a.txt", &file),
        ("40000", "a", &inner),
        ("100755", "run.sh", &file),
        ("160000", "vendor", "1111111111111111111111111111111111111111"),
    ]);
    let commit = mirror.commit(&root);

    let flat = mirror.list(commit, &[], false).await.unwrap();
    assert_eq!(
        paths(&flat),
        [
            ("a-link", EntryKind::Symlink, 11),
            ("a.txt", EntryKind::File, 6),
            ("a", EntryKind::Directory, 0),
            ("run.sh", EntryKind::Executable, 6),
            ("vendor", EntryKind::Submodule, 0),
        ]
    );
    assert_eq!((flat.left_out, flat.next.clone()), (0, None));
    assert_eq!(flat.listed[1].object, file);

    let all = mirror.list(commit, &[], true).await.unwrap();
    let names: Vec<_> = all.listed.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names, ["a-link", "a.txt", "a/deep.txt", "run.sh", "vendor"]);
    let below = mirror.list(commit, &["a"], false).await.unwrap();
    assert_eq!(paths(&below), [("a/deep.txt", EntryKind::File, 6)]);

    let target = mirror.file(commit, "a-link").await.unwrap();
    assert_eq!((target.bytes.as_ref(), target.header.kind), (&b"/etc/passwd"[..], EntryKind::Symlink));
    assert_eq!(mirror.file(commit, "a/deep.txt").await.unwrap().bytes.as_ref(), b"hello\n");
    assert_eq!(reason(mirror.file(commit, "a").await), Reason::InvalidPath);
    assert_eq!(reason(mirror.file(commit, "vendor").await), Reason::InvalidPath);
    assert_eq!(reason(mirror.file(commit, "a-link/x").await), Reason::NotFound);
    assert_eq!(reason(mirror.file(commit, "vendor/x").await), Reason::NotFound);
    assert_eq!(reason(mirror.file(commit, "none").await), Reason::NotFound);
    assert_eq!(reason(mirror.list(commit, &["a.txt"], false).await), Reason::NotFound);
}

#[tokio::test]
async fn names_that_break_the_path_rules_are_left_out_and_counted() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"x");
    let inner = mirror.tree(&[("100644", "secret", &file), ("100644", "other", &file)]);
    let refused =
        [".", "..", ".git", "GIT~1", ".g\u{200c}it", "a/b", "../up", "/abs", "con", "nul.txt", "x:y"];
    let refused_more = ["back\\slash", "bell\u{7}", "dot.", "e\u{301}", "rtl\u{202e}txt", ""];
    let mut entries: Vec<(&str, &str, &str)> = Vec::new();
    entries.extend(refused.iter().chain(&refused_more).map(|name| ("100644", *name, file.as_str())));
    entries.extend([("40000", "..", inner.as_str()), ("40000", ".git", inner.as_str())]);
    entries.push(("100644", "fine", file.as_str()));
    let commit = mirror.commit(&mirror.tree(&entries));
    for recursive in [false, true] {
        let listed = mirror.list(commit, &[], recursive).await.unwrap();
        assert_eq!(paths(&listed), [("fine", EntryKind::File, 1)]);
        assert_eq!(listed.left_out as usize, entries.len() - 1);
    }
}

#[tokio::test]
async fn pages_cover_everything_once() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"x");
    let names: Vec<String> = (0..7).map(|number| format!("f{number}")).collect();
    let leaf: Vec<_> = names.iter().map(|name| ("100644", name.as_str(), file.as_str())).collect();
    let leaf = mirror.tree(&leaf);
    let empty = mirror.tree(&[]);
    let middle = mirror.tree(&[("40000", "m", &leaf), ("100644", "..", &file), ("40000", "void", &empty)]);
    let root = mirror.tree(&[("40000", "a", &middle), ("100644", "b", &file), ("40000", "c", &leaf)]);
    let commit = mirror.commit(&root);
    let all = mirror.list(commit, &[], true).await.unwrap();
    assert_eq!((all.listed.len(), all.left_out), (15, 1));

    for wanted in 1..=16 {
        let (mut seen, mut left_out, mut cursor) = (Vec::new(), 0, None);
        for _ in 0..40 {
            let listing = Listing { directory: Vec::new(), recursive: true, wanted, cursor };
            let page = mirror.mirrors().list(READER, PROJECT, commit, listing).await.unwrap();
            assert!(page.listed.len() <= wanted);
            seen.extend(page.listed);
            left_out += page.left_out;
            cursor = page.next.map(|next| Cursor::from_bytes(&next.to_bytes()).unwrap());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((cursor, seen, left_out), (None, all.listed.clone(), 1), "pages of {wanted}");
    }
}

#[tokio::test]
async fn a_cursor_from_elsewhere_is_refused_or_harmless() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"x");
    let commit = mirror.commit(&mirror.tree(&[("100644", "a", &file)]));
    assert!(Cursor::from_bytes(&[1, 2, 3]).is_err());
    for offsets in [vec![u32::MAX], vec![0, 0], vec![3; 64]] {
        let bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect();
        let cursor = Some(Cursor::from_bytes(&bytes).unwrap());
        let listing = Listing { directory: Vec::new(), recursive: true, wanted: 10, cursor };
        match mirror.mirrors().list(READER, PROJECT, commit, listing).await {
            Ok(page) => assert!(page.listed.is_empty()),
            Err(error) => {
                assert!(matches!(error.reason(), Reason::InvalidPageToken | Reason::RepositoryRejected));
            }
        }
    }
}

#[tokio::test]
async fn a_deep_tree_is_cut_where_the_path_rules_end() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"x");
    let mut tree = mirror.tree(&[("100644", "f", &file)]);
    for _ in 0..40 {
        tree = mirror.tree(&[("40000", "d", &tree), ("100644", "f", &file)]);
    }
    let listed = mirror.list(mirror.commit(&tree), &[], true).await.unwrap();
    assert_eq!(listed.listed.len(), 32);
    assert!(listed.left_out > 0);
}

#[tokio::test]
async fn a_tree_that_unfolds_without_end_costs_a_page_at_a_time() {
    let mirror = Mirror::new();
    let mut tree = mirror.tree(&[]);
    for _ in 0..20 {
        let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), tree.as_str())).collect();
        tree = mirror.tree(&entries);
    }
    let page = mirror.list(mirror.commit(&tree), &[], true).await.unwrap();
    assert!(page.listed.is_empty() && page.next.is_some());
}

#[tokio::test]
async fn files_say_what_they_are() {
    let mirror = Mirror::new();
    let late_nul = [vec![b'a'; 8_000], vec![0]].concat();
    let early_nul = [vec![b'a'; 7_999], vec![0]].concat();
    let large = vec![b'z'; 300_000];
    let blobs = [("early", &early_nul), ("large", &large), ("late", &late_nul)];
    let objects: Vec<_> = blobs.iter().map(|(name, content)| (*name, mirror.blob(content))).collect();
    let mut entries: Vec<_> = objects.iter().map(|(name, id)| ("100644", *name, id.as_str())).collect();
    mirror.blob(b"");
    entries.push(("100644", "void", EMPTY_BLOB));
    let commit = mirror.commit(&mirror.tree(&entries));

    assert!(mirror.file(commit, "early").await.unwrap().header.binary);
    assert!(!mirror.file(commit, "late").await.unwrap().header.binary);
    let void = mirror.file(commit, "void").await.unwrap();
    assert_eq!((void.header.size, void.header.object.as_str()), (0, EMPTY_BLOB));
    assert!(void.range(0, 0).is_empty() && void.range(5, 9).is_empty());
    let file = mirror.file(commit, "large").await.unwrap();
    assert_eq!((file.header.size, file.header.commit), (300_000, commit));
    assert_eq!(file.range(0, 0).len(), 300_000);
    assert_eq!(file.range(299_990, 0).len(), 10);
    assert_eq!(file.range(299_990, 5).len(), 5);
    assert_eq!(file.range(10, u64::MAX).len(), 299_990);
    assert!(file.range(u64::MAX, u64::MAX).is_empty());
}

#[tokio::test]
async fn objects_are_read_from_packs_as_well() {
    let mirror = Mirror::new();
    let file = mirror.blob(&b"packed ".repeat(1_000));
    let commit = mirror.commit(&mirror.tree(&[("100644", "f", &file)]));
    mirror.git(&["update-ref", "refs/heads/main", &commit.to_string()], b"");
    mirror.git(&["repack", "-a", "-d", "-q"], b"");
    assert!(!mirror.loose_object(&file).exists());
    assert_eq!(mirror.file(commit, "f").await.unwrap().header.size, 7_000);
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_is_read() {
    let mirror = Mirror::new();
    let size = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
    let file = mirror.blob(&vec![0; size]);
    let commit = mirror.commit(&mirror.tree(&[("100644", "big", &file)]));
    assert_eq!(paths(&mirror.list(commit, &[], false).await.unwrap())[0].2, FILE_BYTES_MAX + 1);
    assert_eq!(reason(mirror.file(commit, "big").await), Reason::InvalidPath);
}

#[tokio::test]
async fn only_commits_of_this_mirror_are_read() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"x");
    let tree = mirror.tree(&[("100644", "f", &file)]);
    let absent = CommitId::parse("2222222222222222222222222222222222222222").unwrap();
    for id in [absent, CommitId::parse(&tree).unwrap(), CommitId::parse(&file).unwrap()] {
        assert_eq!(reason(mirror.list(id, &[], false).await), Reason::NotFound);
        assert_eq!(reason(mirror.file(id, "f").await), Reason::NotFound);
    }
}

fn subjects(commits: &Commits) -> Vec<&str> {
    commits.listed.iter().map(|commit| commit.subject.as_str()).collect()
}

#[tokio::test]
async fn a_log_is_everything_a_commit_descends_from_once_and_newest_first() {
    let mirror = Mirror::new();
    let root = mirror.commit_at(100, "root", &[]);
    let left = mirror.commit_at(200, "left", &[root]);
    let right = mirror.commit_at(300, "right", &[root]);
    let merge = mirror.commit_at(400, "merge", &[left, right]);
    let at_once = mirror.commit_at(400, "at once", &[merge]);
    let whole = mirror.log(at_once, 200, None).await.unwrap();
    assert_eq!(subjects(&whole), ["at once", "merge", "right", "left", "root"]);
    assert_eq!((whole.next, whole.truncated), (None, false));
    assert_eq!(whole.listed[1].parents, [left, right]);
    assert_eq!(whole.listed[1].committed_at.map(|at| at.as_secs()), Some(400));
    assert_eq!(subjects(&mirror.log(right, 200, None).await.unwrap()), ["right", "root"]);

    for wanted in 1..=5 {
        let (mut told, mut passed) = (Vec::new(), None);
        loop {
            let page = mirror.log(at_once, wanted, passed).await.unwrap();
            assert!(page.listed.len() <= wanted);
            told.extend(page.listed);
            passed = page.next;
            if passed.is_none() {
                break;
            }
        }
        assert_eq!(told, whole.listed, "{wanted} at a time");
    }
    let behind = Passed::from_bytes(&u32::MAX.to_be_bytes()).unwrap();
    assert!(mirror.log(at_once, 5, Some(behind)).await.unwrap().listed.is_empty());
}

#[tokio::test]
async fn a_log_is_bounded() {
    let mirror = Mirror::new();
    let mut head = mirror.commit_at(0, "0", &[]);
    for number in 1..8 {
        head = mirror.commit_at(number, &number.to_string(), &[head]);
    }
    let objects = Objects::open(&mirror.git_dir().join("objects"), Effort::STRUCTURE).unwrap();
    let listed = |start, passed: u32, bounds| {
        let passed = Passed::from_bytes(&passed.to_be_bytes()).unwrap();
        log::list(&objects, start, 200, Some(passed), bounds).unwrap()
    };
    let five = log::Bounds { commits: 5, ..log::Bounds::STANDARD };
    let first = listed(head, 0, five);
    assert_eq!(subjects(&first), ["7", "6", "5", "4", "3"]);
    assert_eq!((first.next, first.truncated), (None, true));
    assert_eq!(subjects(&listed(head, 4, five)), ["3"]);
    let rest = listed(first.listed[4].parents[0], 0, five);
    assert_eq!((subjects(&rest), rest.truncated), (vec!["2", "1", "0"], false));
    let few_bytes = listed(head, 0, log::Bounds { bytes: 300, ..log::Bounds::STANDARD });
    assert_eq!((subjects(&few_bytes), few_bytes.truncated), (vec!["7", "6"], true));
    let short_pages = listed(head, 0, log::Bounds { page_bytes: 1, ..log::Bounds::STANDARD });
    assert_eq!(subjects(&short_pages), ["7"]);
    assert_eq!(short_pages.next, Some(Passed::from_bytes(&1_u32.to_be_bytes()).unwrap()));

    let parents: Vec<CommitId> =
        (0..65).map(|number| mirror.commit_at(number, &number.to_string(), &[])).collect();
    let octopus = mirror.log(mirror.commit_at(100, "octopus", &parents), 200, None).await.unwrap();
    assert_eq!((octopus.listed.len(), octopus.truncated), (65, true));
    assert!(octopus.listed[0].shortened);
}

#[tokio::test]
async fn a_read_ends_when_its_time_is_over() {
    let mirror = Mirror::new();
    let head = mirror.commit_at(0, "0", &[]);
    let no_time = Effort { time_max: Duration::ZERO, ..Effort::STRUCTURE };
    let objects = Objects::open(&mirror.git_dir().join("objects"), no_time).unwrap();
    let refused = log::list(&objects, head, 1, None, log::Bounds::STANDARD).unwrap_err();
    assert_eq!(refused.reason(), Reason::DeadlineExceeded);
}

#[tokio::test]
async fn commits_that_git_would_not_make_do_no_harm() {
    let mirror = Mirror::new();
    let tree = mirror.tree(&[]);
    let header = |who: &str| format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n").into_bytes();
    let big = [header("A <a> 1 +0000"), vec![b'x'; 3 * 1024 * 1024]].concat();
    let big = mirror.log(mirror.raw_commit(&big), 1, None).await.unwrap();
    assert_eq!((big.listed[0].subject.len(), big.listed[0].shortened), (200, true));
    for who in ["A <a> 99999999999999999999 +0000", "A <a> -5 +0000"] {
        let odd = mirror.log(mirror.raw_commit(&header(who)), 1, None).await.unwrap();
        assert_eq!((odd.listed[0].authored_at, odd.listed[0].committed_at), (None, None), "{who}");
    }

    let too_big = [header("A <a> 1 +0000"), vec![b'x'; 5 * 1024 * 1024]].concat();
    let orphan = format!("tree {tree}\nparent {}\n", "1".repeat(40)).into_bytes();
    let orphan = [orphan, header("A <a> 1 +0000").split_off(46)].concat();
    for data in [too_big.as_slice(), &orphan, b"", b"tree", &header("nobody")] {
        let refused = mirror.log(mirror.raw_commit(data), 1, None).await;
        assert_eq!(reason(refused), Reason::RepositoryRejected);
    }
    let absent = CommitId::parse(&"2".repeat(40)).unwrap();
    for id in [absent, CommitId::parse(&tree).unwrap()] {
        assert_eq!(reason(mirror.log(id, 1, None).await), Reason::NotFound);
    }
    assert_eq!(reason(Passed::from_bytes(b"12345")), Reason::InvalidPageToken);
}

#[tokio::test]
async fn replaced_objects_are_not_looked_at() {
    let mirror = Mirror::new();
    let (real, other) = (mirror.blob(b"real"), mirror.blob(b"other"));
    let commit = mirror.commit(&mirror.tree(&[("100644", "f", &real)]));
    mirror.git(&["replace", &real, &other], b"");
    assert_eq!(mirror.file(commit, "f").await.unwrap().bytes.as_ref(), b"real");
}

#[tokio::test]
async fn broken_objects_are_refused_without_a_panic() {
    let mirror = Mirror::new();
    let file = mirror.blob(b"content");
    let tree = mirror.tree(&[("100644", "f", &file)]);
    let commit = mirror.commit(&tree);
    let missing = mirror.commit(&mirror.tree(&[("100644", "f", "3333333333333333333333333333333333333333")]));
    assert_eq!(reason(mirror.list(missing, &[], false).await), Reason::RepositoryRejected);
    let no_blob = mirror.commit(&mirror.tree(&[("100644", "f", &tree)]));
    assert_eq!(reason(mirror.file(no_blob, "f").await), Reason::RepositoryRejected);
    for data in [&b"100644 f"[..], b"100644 f\0short", b"\xff\xff", b"999999999 f\0"] {
        let id = mirror.git(&["hash-object", "-w", "--literally", "-t", "tree", "--stdin"], data);
        assert_eq!(reason(mirror.list(mirror.commit(&id), &[], true).await), Reason::RepositoryRejected);
    }
    for garbage in [&b"garbage"[..], b"", b"x\x9c\x03\x00"] {
        let path = mirror.loose_object(&file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, garbage).unwrap();
        assert_eq!(reason(mirror.file(commit, "f").await), Reason::RepositoryRejected);
    }
}

#[tokio::test]
async fn what_is_not_a_mirror_of_this_user_alone_is_not_opened() {
    let there = |mirror: &Mirror| {
        let file = mirror.blob(b"x");
        mirror.commit(&mirror.tree(&[("100644", "f", &file)]))
    };
    let mirror = Mirror::new();
    let commit = there(&mirror);
    let (git, elsewhere) = (mirror.git_dir(), mirror.root.path().join("elsewhere"));
    let project = mirror.repos().join(PROJECT.to_string());

    fs::rename(&git, &elsewhere).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::RepositoryNotReady);
    symlink(&elsewhere, &git).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::Internal);
    fs::remove_file(&git).unwrap();
    fs::rename(&elsewhere, &git).unwrap();
    assert!(mirror.list(commit, &[], false).await.is_ok());

    fs::rename(&project, &elsewhere).unwrap();
    symlink(&elsewhere, &project).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::Internal);
    fs::remove_file(&project).unwrap();
    fs::rename(&elsewhere, &project).unwrap();

    fs::set_permissions(&project, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::Internal);
    fs::set_permissions(&project, fs::Permissions::from_mode(0o700)).unwrap();

    let alternates = git.join("objects/info/alternates");
    fs::create_dir_all(alternates.parent().unwrap()).unwrap();
    fs::write(&alternates, elsewhere.as_os_str().as_encoded_bytes()).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::Internal);
    fs::remove_file(&alternates).unwrap();

    symlink("/etc/passwd", git.join("objects/pack/pack-x.pack")).unwrap();
    assert_eq!(reason(mirror.list(commit, &[], false).await), Reason::Internal);
    fs::remove_file(git.join("objects/pack/pack-x.pack")).unwrap();
    assert!(mirror.list(commit, &[], false).await.is_ok());
}
