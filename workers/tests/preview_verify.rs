//! `preview_verify` against a store that lies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the test plays the store, and starts tasks for it")]

use std::{path::PathBuf, time::Duration};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{
        FailureClass, PresignedHeader, PresignedRequest, PreviewVerifyResult, PreviewVerifyWork, VerifyFile,
    },
};
use hivesync_workers::{
    kinds::{JobContext, JobError, ProgressSink, preview_verify},
    sandbox::stop::{self, StopSignal},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const CONTENT: &[u8] = b"the right bytes";

/// A store with one file and several ways to get it wrong; returns its address.
async fn store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    format!("http://{address}")
}

async fn answer(mut stream: TcpStream) {
    let mut request = vec![0; 8192];
    let count = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..count]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = |status: &str, length: usize, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let bytes = match path.as_str() {
        "/right" => reply("200 OK", CONTENT.len(), CONTENT),
        "/header" if request.contains("x-signed: yes") => reply("200 OK", CONTENT.len(), CONTENT),
        "/changed" => reply("200 OK", CONTENT.len(), b"the wrong bytes"),
        "/short" => reply("200 OK", 3, b"the"),
        "/gone" => reply("404 Not Found", 0, b""),
        "/broken" => reply("503 Service Unavailable", 0, b""),
        "/cut" => reply("200 OK", CONTENT.len(), b"the"),
        "/elsewhere" => b"HTTP/1.1 302 Found\r\nlocation: /right\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/endless" => {
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(head).await;
            // Ends when the reader has had enough.
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
            return;
        }
        "/never" => return std::future::pending().await,
        _ => reply("403 Forbidden", 0, b""),
    };
    let _ = stream.write_all(&bytes).await;
}

fn file(url: String) -> VerifyFile {
    let download = PresignedRequest {
        method: "GET".to_owned(),
        url,
        headers: vec![PresignedHeader { name: "x-signed".to_owned(), value: "yes".to_owned() }],
        ..PresignedRequest::default()
    };
    VerifyFile {
        size: CONTENT.len() as u64,
        sha256: Sha256::digest(CONTENT).to_vec(),
        download: Some(download),
    }
}

async fn verify(files: Vec<VerifyFile>, stop: StopSignal) -> Result<PreviewVerifyResult, JobError> {
    let context = JobContext {
        data_dir: PathBuf::new(),
        tmp_dir: PathBuf::new(),
        url_policy: UrlPolicy::default(),
        lease_epoch: 1,
        time_limit: Duration::from_secs(60),
        stop,
        progress: ProgressSink::new(|_| {}),
        http: reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap(),
    };
    preview_verify::run(context, PreviewVerifyWork { files }).await
}

async fn verify_one(path: &str) -> Result<PreviewVerifyResult, JobError> {
    verify(vec![file(store().await + path)], stop::channel().1).await
}

#[tokio::test]
async fn believes_the_bytes_and_nothing_else() {
    for (path, is_right) in [
        ("/right", true),
        ("/header", true),
        ("/changed", false),
        ("/short", false),
        ("/endless", false),
        ("/gone", false),
    ] {
        let result = verify_one(path).await.unwrap();
        assert_eq!(
            (result.verified.len(), result.rejected.len()),
            (is_right.into(), (!is_right).into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn does_not_blame_a_file_for_the_store() {
    for path in ["/broken", "/cut", "/elsewhere", "/forbidden"] {
        let Err(JobError::Failed(failure)) = verify_one(path).await else { panic!("{path} did not fail") };
        assert_eq!(failure.class(), FailureClass::AppError, "{path}");
        assert!(!failure.detail.contains("127.0.0.1"), "{}", failure.detail);
    }
    let nobody = verify(vec![file("http://127.0.0.1:1/secret".to_owned())], stop::channel().1).await;
    let Err(JobError::Failed(failure)) = nobody else { panic!("no failure") };
    assert!(!failure.detail.contains("secret"), "{}", failure.detail);
}

#[tokio::test]
async fn judges_a_lying_size_by_the_manifest() {
    let url = store().await + "/right";
    for size in [0, CONTENT.len() as u64 - 1, CONTENT.len() as u64 + 1, u64::MAX] {
        let lying = VerifyFile { size, ..file(url.clone()) };
        assert_eq!(verify(vec![lying], stop::channel().1).await.unwrap().rejected.len(), 1, "{size}");
    }
}

#[tokio::test]
async fn verifies_many_files() {
    let store = store().await;
    let files = (0..40).map(|n| file(format!("{store}{}", if n % 4 == 0 { "/changed" } else { "/right" })));
    let result = verify(files.collect(), stop::channel().1).await.unwrap();
    assert_eq!((result.verified.len(), result.rejected.len()), (30, 10));
}

#[tokio::test]
async fn stops_when_asked() {
    let (sender, stop) = stop::channel();
    sender.ask(Duration::ZERO);
    assert_eq!(verify(vec![file(store().await + "/never")], stop).await, Err(JobError::Stopped));
}
