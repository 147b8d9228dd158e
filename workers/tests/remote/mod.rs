//! A host of repositories over HTTP: what git says to it is the same over TLS.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How a host serves repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `git http-backend`, in the protocol that git asks for.
    Smart,
    /// `git http-backend`, in the protocol before that.
    SmartOld,
    /// Plain files. After this many packs it says nothing any more, but does not hang up.
    Dumb(usize),
}

/// Serves everything below a directory until the test ends.
pub struct Remote {
    address: SocketAddr,
    packs_served: Arc<AtomicUsize>,
}

impl Remote {
    pub fn start(root: &Path, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let packs_served = Arc::new(AtomicUsize::new(0));
        let host = Host { root: root.to_owned(), kind, packs_served: Arc::clone(&packs_served) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let host = host.clone();
                // A client that is killed hangs up in the middle.
                thread::spawn(move || drop(host.answer(stream)));
            }
        });
        Self { address, packs_served }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn packs_served(&self) -> usize {
        self.packs_served.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Host {
    root: PathBuf,
    kind: Kind,
    packs_served: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Request {
    method: String,
    path: String,
    query: String,
    /// As CGI names them, in capital letters and without `HTTP_`.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self { method, path: path.to_owned(), query: query.to_owned(), ..Self::default() };
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            request.headers.push((name.to_ascii_uppercase().replace('-', "_"), value.to_owned()));
        }
        let length = request.header("CONTENT_LENGTH").parse().unwrap_or(0);
        reader.take(length).read_to_end(&mut request.body)?;
        Ok(request)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Host {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = Request::read(&stream)?;
        match self.kind {
            Kind::Smart | Kind::SmartOld => stream.write_all(&self.run_backend(&request)?),
            Kind::Dumb(packs) => {
                if request.path.ends_with(".pack")
                    && self.packs_served.fetch_add(1, Ordering::SeqCst) >= packs
                {
                    return stream.read_to_end(&mut Vec::new()).map(drop);
                }
                let file = fs::read(self.root.join(request.path.trim_start_matches('/')));
                let status = if file.is_ok() { "200 OK" } else { "404 Not Found" };
                let body = file.unwrap_or_default();
                write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
                write!(stream, "Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len())?;
                stream.write_all(&body)
            }
        }
    }

    /// The program speaks CGI (RFC 3875), whose answer is one of HTTP but for the first line.
    fn run_backend(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        let protocol = if self.kind == Kind::Smart { request.header("GIT_PROTOCOL") } else { "" };
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_PROTOCOL", protocol)
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", &request.path)
            .env("QUERY_STRING", &request.query)
            .env("CONTENT_TYPE", request.header("CONTENT_TYPE"))
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", request.header("CONTENT_ENCODING"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // Requests of these tests fit into the pipe.
        backend.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&request.body))?;
        let output = backend.wait_with_output()?;
        Ok([b"HTTP/1.1 200 OK\r\nConnection: close\r\n", output.stdout.as_slice()].concat())
    }
}
