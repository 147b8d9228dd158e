//! Signs in, and opens a preview by the token that its publisher shows: the server in `HIVESYNC_SERVER_URL`, the account
//! in `HIVESYNC_EMAIL`; password and token are read from standard input, a line each.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own, which talks to its user"
)]

use std::{env, error::Error, fs, io};

use hivesync::{Client, auth::Platform, previews::PreviewToken};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut client = Client::builder(env::var("HIVESYNC_SERVER_URL")?).platform(Platform::Android);
    if let Ok(path) = env::var("HIVESYNC_ROOT_CERTIFICATES") {
        client = client.root_certificates(fs::read(path)?);
    }
    let client = client.build().await?;
    let mut lines = io::stdin().lines();
    let mut line = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));

    client.auth().login(&env::var("HIVESYNC_EMAIL")?, &line()?.as_str().into()).await?;
    let preview = client.previews().open(&PreviewToken::new(&line()?)).await?;
    let show = |step: &hivesync::previews::OpenProgress| {
        println!("{} of {} bytes", step.bytes_done, step.bytes_total)
    };
    let stats = preview.save_to("preview", &show).await?;
    println!("{} files; start with {}", stats.files, preview.entry_point());
    client.auth().logout(false).await?;
    Ok(())
}
