//! versitygw, an S3 server of other people, in a process of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use super::bucket::{ACCESS_KEY_ID, NAME, SECRET_ACCESS_KEY};

/// How often it is looked whether the server listens: for a minute.
const START_TRIES: u32 = 1_200;

/// One bucket and the server that holds it.
pub(super) struct Gateway {
    address: SocketAddr,
    server: Child,
}

impl Gateway {
    /// Serves a new bucket from `directory`.
    pub(super) async fn open(program: &Path, directory: &Path) -> Self {
        fs::create_dir_all(directory.join(NAME)).expect("the directory can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let server = Command::new(program)
            .args(["--quiet", "--port", &address.to_string(), "posix"])
            .arg(directory)
            .env("ROOT_ACCESS_KEY", ACCESS_KEY_ID)
            .env("ROOT_SECRET_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server runs");
        let gateway = Self { address, server };
        for _ in 0..START_TRIES {
            if TcpStream::connect(address).await.is_ok() {
                return gateway;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("versitygw does not listen");
    }

    /// The bucket's address for `OBJECT_STORE_URL`.
    pub(super) fn url(&self) -> String {
        format!("s3://{NAME}?endpoint=http://{}&region=us-east-1", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
