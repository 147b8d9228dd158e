//! A power cut at any moment: what stands under the name of a received preview is whole.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use hivesync_tests::{
    backend::Backend,
    binary, tool,
    world::{World, in_time},
};

use crate::program::{Finished, Program};

/// With a directory in a directory, and a content that several files have.
const FILES: [(&str, &[u8]); 4] = [
    ("app/lib/code.js", b"let answer = 42;"),
    ("app/main.js", b"document.title = 'HiveSync';"),
    ("copied/code.js", b"let answer = 42;"),
    ("index.html", b"<!doctype html>"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_holds_a_received_preview_before_it_appears() {
    let Some(strace) = tool::find("HIVESYNC_TEST_STRACE") else { return };
    in_time(async {
        let world = World::new(Backend::Embedded).await;
        let ada = world.user("ada").await;
        let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
        let token = ada.publish(project.id, &FILES).await.unwrap().token;
        let program = Program::of(&world, &ada);
        let home = program.home().canonicalize().unwrap();
        let (trace, target) = (home.join("trace"), home.join("received"));
        let mut command = program.command(strace);
        command.args(["-f", "-y", "-qq", "-s", "4096", "-o"]).arg(&trace);
        command.args(["-e", "trace=fsync,fdatasync,write,openat,mkdir,mkdirat,rename,renameat,renameat2"]);
        command.arg(binary::path("hsync")).args(["preview", "open"]).arg(&target);
        let finished = Finished::of(command, token.expose().as_bytes());
        assert_eq!(finished.status, 0, "{finished:?}");

        let mut disk = Disk::default();
        let trace = fs::read_to_string(&trace).unwrap();
        let mut calls = trace.lines();
        let appears = calls.by_ref().any(|call| disk.see(call).is_some_and(|name| name == target));
        assert!(appears, "{} is not made by a rename", target.display());
        let received = tree(&target);
        assert!(received.len() > FILES.len(), "{received:?}");
        for path in received {
            assert!(disk.held.contains(&path), "{} may be lost", path.display());
        }
        calls.for_each(|call| drop(disk.see(call)));
        assert!(disk.held.contains(&home), "the name of {} may be lost", target.display());
    })
    .await;
}

/// What outlasts a power cut, by the system calls of a process as strace(1) shows them: content that was synchronised
/// after it was written, and directories that were after their last entry had its name.
#[derive(Default)]
struct Disk {
    held: HashSet<PathBuf>,
    /// What each thread is synchronising.
    under_way: HashMap<String, PathBuf>,
}

impl Disk {
    /// Takes note of a call; if it is a rename, returns the new name.
    fn see(&mut self, line: &str) -> Option<PathBuf> {
        let (thread, call) = line.split_once(' ')?;
        let call = call.trim_start();
        let mut names = call.split('"').skip(1).step_by(2).map(PathBuf::from);
        match call.split(['(', ' ']).next()? {
            "fsync" | "fdatasync" => {
                let path = descriptor(call)?;
                if call.ends_with("<unfinished ...>") {
                    self.under_way.insert(thread.to_owned(), path);
                } else {
                    self.held.insert(path);
                }
            }
            // The end of a call that calls of other threads came in between of.
            "<..." if call.contains("sync resumed") => self.held.extend(self.under_way.remove(thread)),
            "write" => drop(self.held.remove(&descriptor(call)?)),
            "openat" if !call.contains("O_CREAT") => {}
            "openat" | "mkdir" | "mkdirat" => self.name(&names.next()?),
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = (names.next()?, names.next()?);
                self.name(&to);
                let moved: Vec<_> = self.held.extract_if(|path| path.starts_with(&from)).collect();
                self.held
                    .extend(moved.iter().filter_map(|path| Some(to.join(path.strip_prefix(&from).ok()?))));
                return Some(to);
            }
            _ => {}
        }
        None
    }

    /// Something new has this name: neither it nor the directory that lists it is held yet.
    fn name(&mut self, path: &Path) {
        self.held.remove(path);
        self.held.remove(path.parent().unwrap_or(path));
    }
}

/// The file behind the first argument of a call.
fn descriptor(call: &str) -> Option<PathBuf> {
    Some(call.split_once('<')?.1.split_once('>')?.0.into())
}

/// A directory and everything below it.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| if path.is_dir() { tree(&path) } else { vec![path] });
    below.chain([directory.to_owned()]).collect()
}
