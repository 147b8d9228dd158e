//! A pseudo-terminal, and a person at it.

use std::{
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::task::block_in_place;

use crate::program::Program;

/// Ctrl-C, as a keyboard sends it.
pub const CTRL_C: &str = "\x03";
/// How long a person looks at a screen on which nothing happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal on which a program runs.
pub struct Terminal {
    screen: std::fs::File,
    child: Child,
    shown: String,
    /// Bytes at the end of what was shown that are no whole character yet.
    rest: Vec<u8>,
}

impl Terminal {
    /// Starts `binary` as the one program of a terminal.
    pub fn start(program: &Program, binary: &Path, arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&controller).expect("granted");
        unlockpt(&controller).expect("unlocked");
        let size = Winsize { ws_row: 60, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).expect("a size");
        let name = ptsname(&controller, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let user: OwnedFd = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end");
        let again = || user.try_clone().expect("a descriptor");
        // `setsid` becomes the program, as the leader of a session that the terminal controls.
        let mut command = program.command("setsid");
        command.arg("--ctty").arg(binary).args(arguments).stdin(again()).stdout(again()).stderr(again());
        let child = command.spawn().expect("setsid is part of util-linux");
        Self { screen: controller.into(), child, shown: String::new(), rest: Vec::new() }
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).expect("the terminal stands");
    }

    /// Waits until the program has shown `text`.
    ///
    /// # Panics
    /// If it ends without, or shows nothing for a minute.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        while !self.shown.contains(text) {
            assert!(self.read_more(), "the program ended without {text:?}:\n{}", self.shown);
        }
    }

    /// Waits until the program has asked `question`, and shows nothing of what is typed.
    pub async fn expect_secret(&mut self, question: &str) {
        self.expect(question);
        for _ in 0..1_000 {
            if !self.echoes() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("what is typed after {question:?} is shown");
    }

    /// Waits until the program has ended; everything that it has shown, and its exit status.
    #[track_caller]
    pub fn end(mut self) -> (String, i32) {
        while self.read_more() {}
        let status: ExitStatus = block_in_place(|| self.child.wait()).expect("it ends");
        (std::mem::take(&mut self.shown), status.code().expect("it was not killed"))
    }

    /// Everything that the program has shown so far.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether what is typed would be shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.screen).expect("a terminal").local_modes.contains(LocalModes::ECHO)
    }

    /// The process.
    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Reads what the program shows next; false at its end.
    #[track_caller]
    fn read_more(&mut self) -> bool {
        let since = Instant::now();
        let mut ready = [PollFd::new(&self.screen, PollFlags::IN)];
        let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
        let found = block_in_place(|| poll(&mut ready, Some(&limit))).expect("it can be waited for");
        assert!(found > 0 && since.elapsed() <= PATIENCE * 2, "nothing happens any more:\n{}", self.shown);
        let mut buffer = [0; 4096];
        // Linux answers with an error when the other end is closed.
        let Ok(length @ 1..) = self.screen.read(&mut buffer) else { return false };
        self.rest.extend_from_slice(&buffer[..length]);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(all) => all.len(),
            Err(error) => {
                assert_eq!(error.error_len(), None, "hsync prints UTF-8");
                error.valid_up_to()
            }
        };
        let whole: Vec<u8> = self.rest.drain(..whole).collect();
        self.shown.push_str(std::str::from_utf8(&whole).expect("checked"));
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
