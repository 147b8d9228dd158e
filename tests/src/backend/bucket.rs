//! An S3 service in this process, which verifies signatures, expiry and digests like a real one.

use std::{fs, net::SocketAddr, path::Path};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, task::JoinHandle};

pub(super) const ACCESS_KEY_ID: &str = "hivesync-tests";
pub(super) const SECRET_ACCESS_KEY: &str = "a key that protects nothing but a test";
pub(super) const NAME: &str = "hivesync";

/// One bucket and the service that holds it.
pub(super) struct Bucket {
    address: SocketAddr,
    service: JoinHandle<()>,
}

impl Bucket {
    /// Serves a new bucket from `directory`.
    pub(super) async fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory.join(NAME)).expect("the directory can be made");
        let mut builder =
            S3ServiceBuilder::new(FileSystem::new(directory).expect("the directory can be served"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let handler = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let service = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let handler = handler.clone();
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), handler)
                        .await;
                });
            }
        });
        Self { address, service }
    }

    /// The bucket's address for `OBJECT_STORE_URL`.
    pub(super) fn url(&self) -> String {
        format!("s3://{NAME}?endpoint=http://{}&region=us-east-1", self.address)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.service.abort();
    }
}
