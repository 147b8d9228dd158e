//! A link to a server on which nothing arrives before its test lets it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

/// The link, from the client's side.
pub struct Link {
    listener: TcpListener,
}

impl Link {
    /// A link that leads nowhere yet.
    pub async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    /// Where a client finds it.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("bound"))
    }

    /// Lets a client reach `server`; what the server says waits.
    pub fn lead_to(self, server: SocketAddr) -> Answers {
        let (waiting, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok((client, _)) = self.listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server listens");
                tokio::spawn(carry(client, server, waiting.clone()));
            }
        });
        Answers(answers)
    }
}

/// What the server says, piece by piece. Without this, everything arrives at once.
pub struct Answers(mpsc::Receiver<oneshot::Sender<()>>);

impl Answers {
    /// Waits for the next piece, which arrives when this is dropped or sent.
    pub async fn next(&mut self) -> oneshot::Sender<()> {
        self.0.recv().await.expect("the client is there")
    }
}

async fn carry(client: TcpStream, server: TcpStream, waiting: mpsc::Sender<oneshot::Sender<()>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut piece).await {
        let (pass, passed) = oneshot::channel();
        if waiting.send(pass).await.is_ok() {
            // Dropped is as good as sent.
            let _ = passed.await;
        }
        if to_client.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
