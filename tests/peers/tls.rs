//! TLS between the Rust client and the real server.

use hivesync::{Client, ErrorKind, Result, users::User};
use hivesync_tests::{
    actor::Actor,
    authority::Authority,
    backend::Backend,
    caller::{PASSWORD, address_of},
    process::Installation,
    repository::Repository,
};

/// What a client gets that finds the server at `url` and trusts `root`.
async fn sign_in(url: String, root: Option<&str>) -> Result<User> {
    let mut client =
        Client::builder(url).secret_store(std::sync::Arc::new(hivesync::keychain::MemoryStore::new()));
    if let Some(root) = root {
        client = client.root_certificates(root);
    }
    let client = client.build().await?;
    client.auth().login(&address_of("ada"), &PASSWORD.into()).await?;
    client.users().me().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_path_runs_over_tls_and_only_with_the_servers_own_certificate() {
    let installation = Installation::start_over_tls(Backend::Embedded).await;
    let ada: Actor = installation.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await.into_result().expect("the worker speaks TLS too");
    let published = ada.publish(project.id, &[("index.html", b"<!doctype html>")]).await.unwrap();
    let opened = ada.client.previews().open(&published.token).await.unwrap();
    assert_eq!(opened.read("index.html").await.unwrap().as_ref(), b"<!doctype html>");

    let own = installation.root_certificates();
    assert_eq!(sign_in(installation.url(), own).await.unwrap().id, ada.me.id);
    let other = Authority::new();
    let elsewhere = format!("https://localhost:{}", installation.port());
    for (what, url, root) in [
        ("a certificate of another authority", installation.url(), Some(other.root())),
        ("a certificate of an authority that is not trusted", installation.url(), None),
        ("a certificate for another host", elsewhere, own),
    ] {
        let error = sign_in(url, root).await.expect_err(what);
        assert_eq!(error.kind(), &ErrorKind::Offline, "{what}: {error:?}");
    }
}
