//! A proxy between two processes, by which a test stops what passes at a step of its choice.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::JoinHandle,
};

/// Bytes of a step at most.
const STEP_BYTES: usize = 64 * 1024;

/// A proxy in front of one listener. Each piece of bytes that one side sends to the other is a step.
pub struct Tap {
    address: SocketAddr,
    steps: Arc<Mutex<Steps>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Steps {
    passed: u64,
    trap: Option<Trap>,
}

struct Trap {
    at: u64,
    caught: oneshot::Sender<Held>,
}

/// A step that does not go on until this is dropped.
pub struct Held(#[expect(dead_code, reason = "is held to be dropped")] oneshot::Sender<()>);

impl Tap {
    /// Passes on to `target` whatever comes.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn in_front_of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let steps = Arc::<Mutex<Steps>>::default();
        let taken = steps.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, target, taken.clone()));
            }
        });
        Self { address, steps, accepting }
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many steps there were so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        lock(&self.steps).passed
    }

    /// The step after the next `count`, which is held as soon as it comes. One is waited for at a time.
    #[must_use]
    pub fn catch(&self, count: u64) -> oneshot::Receiver<Held> {
        let (caught, step) = oneshot::channel();
        let mut steps = lock(&self.steps);
        let at = steps.passed + count;
        steps.trap = Some(Trap { at, caught });
        step
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(near: TcpStream, target: SocketAddr, steps: Arc<Mutex<Steps>>) {
    // Nobody there: the near side sees its connection end.
    let Ok(far) = TcpStream::connect(target).await else { return };
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(pass_on(near_read, far_write, &steps), pass_on(far_read, near_write, &steps));
}

/// Passes on until one side has gone.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, steps: &Mutex<Steps>) {
    let mut bytes = vec![0; STEP_BYTES];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if let Some(let_go) = step(steps) {
            let _ = let_go.await;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Counts a step; if it is the one to be held, until when.
fn step(steps: &Mutex<Steps>) -> Option<oneshot::Receiver<()>> {
    let mut steps = lock(steps);
    let this = steps.passed;
    steps.passed += 1;
    let trap = steps.trap.take_if(|trap| trap.at <= this)?;
    let (hold, let_go) = oneshot::channel();
    trap.caught.send(Held(hold)).ok().map(|()| let_go)
}

fn lock(steps: &Mutex<Steps>) -> std::sync::MutexGuard<'_, Steps> {
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}
