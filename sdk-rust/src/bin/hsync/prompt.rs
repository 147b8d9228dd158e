//! Questions to a person. They go to standard error, so that the result can be piped.

#![allow(
    clippy::disallowed_methods,
    reason = "reading from a terminal blocks, for as long as its user thinks"
)]

use std::{
    future::pending,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
};

use hivesync::Secret;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// Asks for one line.
pub(crate) async fn line(question: &str) -> Result<String> {
    write!(io::stderr(), "{question}")?;
    Ok(first_line().await?.expose().to_owned())
}

/// The first line of standard input, without its end. It may be a secret.
pub(crate) async fn first_line() -> Result<Secret> {
    let read = spawn_blocking(|| {
        // Large enough not to be moved while it grows: what is left behind would not be wiped.
        let mut line = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX));
        io::stdin().lock().take(LINE_BYTES_MAX as u64).read_line(&mut line).map(|_| line)
    });
    let line = read.await.map_err(io::Error::other)??;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// Asks for a secret, and shows nothing of what is typed.
///
/// # Errors
///
/// `Usage` with `otherwise`, which says how to give the secret without a terminal, if there is none.
pub(crate) async fn secret(question: &'static str, otherwise: &str) -> Result<Secret> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(otherwise.to_owned()));
    }
    #[cfg(unix)]
    let mut echo = Echo::remember();
    let answer =
        spawn_blocking(move || rpassword::prompt_password(question)).await.map_err(io::Error::other)?;
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // Ctrl-C has become a signal, which is on its way and says how this run ends.
        return pending().await;
    }
    #[cfg(unix)]
    echo.leave_alone();
    Ok(Secret::new(answer?))
}

/// Asks for a secret that nobody can look up later: twice.
///
/// # Errors
///
/// As [`secret`], and `Usage` if the two are not the same.
pub(crate) async fn new_secret(
    question: &'static str,
    question_again: &'static str,
    otherwise: &str,
) -> Result<Secret> {
    let first = secret(question, otherwise).await?;
    match secret(question_again, otherwise).await?.expose() == first.expose() {
        true => Ok(first),
        false => Err(Failure::Usage("The two are not the same. Nothing was done; try again.".to_owned())),
    }
}

/// Asks whether to do what cannot be undone: the answer must be `name`.
///
/// # Errors
///
/// `Usage` if it is not, or if there is no terminal to ask at.
pub(crate) async fn confirmation(question: &str, name: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("There is no terminal to ask at. Say --yes if you mean it.".to_owned()));
    }
    if line(question).await? == name {
        return Ok(());
    }
    Err(Failure::Usage("That is not its name. Nothing was changed.".to_owned()))
}

/// How the terminal treats what is typed. It is set back if its user interrupts a question for a secret.
#[cfg(unix)]
struct Echo(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Echo {
    fn remember() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    /// The question was answered, and whoever asked it has set the terminal back.
    fn leave_alone(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // What can be done at an interruption is done; the line of the question ends, too.
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
            let _ = writeln!(io::stderr());
        }
    }
}
