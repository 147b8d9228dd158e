//! A numbered Redis database of a test's own.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use url::Url;

/// Databases that tests take turns with: the server's client knows no number above 255.
const SPACES: u32 = 255;

/// The address of an empty database of this server. It was another test's if more than 255 have come before, of which
/// that one has ended long ago.
pub(super) async fn own_space(redis: &str) -> String {
    let mut url = Url::parse(redis).expect("an address");
    let address = (url.host_str().expect("a host").to_owned(), url.port().unwrap_or(6379));
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("Redis listens"));
    if let Some(password) = url.password() {
        assert_eq!(command(&mut stream, &["AUTH", password]).await, "+OK");
    }
    let reply = command(&mut stream, &["INCR", "hivesync-tests:spaces"]).await;
    let count: u32 = reply.trim_start_matches(':').parse().expect("a count");
    let number = (count % SPACES + 1).to_string();
    assert_eq!(command(&mut stream, &["SELECT", &number]).await, "+OK");
    assert_eq!(command(&mut stream, &["FLUSHDB"]).await, "+OK");
    url.set_path(&number);
    url.into()
}

/// One command and its one-line reply (Redis serialization protocol, version 2).
async fn command(stream: &mut BufReader<TcpStream>, words: &[&str]) -> String {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).await.expect("Redis reads");
    let mut reply = String::new();
    stream.read_line(&mut reply).await.expect("Redis answers");
    reply.trim_end().to_owned()
}
