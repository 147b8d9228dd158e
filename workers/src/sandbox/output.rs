//! Reading a subprocess's pipes within bounds.

use std::{convert::Infallible, future::pending, io, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{ChildStderr, ChildStdout},
    time::timeout,
};

use super::RunError;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// Bytes of the error stream that are kept: its end.
const STDERR_TAIL_BYTES: usize = 16 * 1024;

/// Bytes of a line that are kept: its beginning.
const LINE_BYTES_MAX: usize = 512;

/// How long pipes may stay open after the last process is gone.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What came out of the pipes.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr_tail: Vec<u8>,
}

/// The pipes of a subprocess, which are read whenever something is awaited of them.
pub(super) struct Pipes<'a> {
    reading: BoxFuture<'a, Result<Collected, RunError>>,
    collected: Option<Result<Collected, RunError>>,
}

impl<'a> Pipes<'a> {
    /// Takes at most so many bytes of the output; more is a failure.
    pub(super) fn new(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        stdout_bytes_max: usize,
        on_line: impl FnMut(&[u8]) + Send + 'a,
    ) -> Self {
        let reading = async move {
            let (stdout, stderr_tail) =
                tokio::try_join!(read_capped(stdout, stdout_bytes_max), read_lines(stderr, on_line))?;
            Ok(Collected { stdout, stderr_tail })
        };
        Self { reading: reading.boxed(), collected: None }
    }

    /// Waits until they cannot be read; for ever, if they are read to their end.
    pub(super) async fn failed(&mut self) {
        if self.collected.is_none() {
            self.collected = Some((&mut self.reading).await);
        }
        if !matches!(self.collected, Some(Err(_))) {
            pending().await
        }
    }

    /// Reads on, for ever.
    pub(super) async fn drain(&mut self) -> Infallible {
        self.failed().await;
        pending().await
    }

    /// What came, once the last process is gone.
    ///
    /// # Errors
    /// If they could not be read, or stay open.
    pub(super) async fn collected(self) -> Result<Collected, RunError> {
        match self.collected {
            Some(result) => result,
            None => {
                let closed = timeout(CLOSE_LIMIT, self.reading).await;
                closed.map_err(|_| io::Error::other("a pipe stayed open"))?
            }
        }
    }
}

async fn read_capped(pipe: Option<impl AsyncRead + Unpin>, bytes_max: usize) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() > bytes_max { Err(RunError::OutputTooLarge) } else { Ok(bytes) }
}

async fn read_lines(
    pipe: Option<impl AsyncRead + Unpin>,
    mut on_line: impl FnMut(&[u8]) + Send,
) -> Result<Vec<u8>, RunError> {
    let Some(mut pipe) = pipe else { return Ok(Vec::new()) };
    let mut tail = Vec::new();
    let mut line = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = pipe.read(&mut chunk).await?;
        let read = chunk.get(..count).ok_or_else(|| io::Error::other("a pipe lied"))?;
        if read.is_empty() {
            on_line(&line);
            return Ok(tail);
        }
        tail.extend_from_slice(read);
        tail.drain(..tail.len().saturating_sub(STDERR_TAIL_BYTES));
        for byte in read {
            match byte {
                b'\n' | b'\r' => {
                    on_line(&line);
                    line.clear();
                }
                byte if line.len() < LINE_BYTES_MAX => line.push(*byte),
                _ => {}
            }
        }
    }
}
