//! What the other tests rely on: whatever is left over is found.

use std::fs;

use hivesync_tests::{backend::Backend, process::Installation, repository::Repository};

const FILES: [(&str, &[u8]); 1] = [("index.html", b"<!doctype html>")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_left_over_is_found() {
    let mut installation = Installation::start(Backend::Embedded).await;
    let ada = installation.user("ada").await;
    let project = ada.project("site", &Repository::sample()).await;
    ada.sync(project.id).await;
    ada.publish(project.id, &FILES).await.expect("published");
    let (stored, data_dir) = (installation.stored(), installation.data_dir());
    stored.check().await;
    installation.stop().await;

    let mirror = data_dir.join("repos").join(project.id.to_string());
    for directory in [
        data_dir.join("repos/.trash-of-a-removal"),
        data_dir.join("tmp/faults/of-a-job"),
        mirror.join("staging-of-a-sync"),
    ] {
        fs::create_dir_all(&directory).expect("a directory");
        expect_found(&installation, &directory.display().to_string()).await;
        fs::remove_dir(&directory).expect("it was there");
    }
    for file in [
        data_dir.join("blobs/objects/00/0123456789abcdef0123456789abcd"),
        mirror.join(".meta.json.new"),
        mirror.join("git/objects/pack/tmp_pack_of_a_fetch"),
    ] {
        fs::write(&file, "left over").expect("a file");
        expect_found(&installation, &file.file_name().expect("a name").to_string_lossy()).await;
        fs::remove_file(&file).expect("it was there");
    }
    assert!(stored.leftovers().await.is_empty(), "everything is as it was");
    let folders = fs::read_dir(data_dir.join("blobs/objects")).expect("readable");
    let mut objects =
        folders.flat_map(|folder| fs::read_dir(folder.expect("readable").path()).expect("readable"));
    let object = objects.next().expect("the published file").expect("readable").path();
    fs::remove_file(&object).expect("it was there");
    expect_found(&installation, "which is verified and gone").await;
}

async fn expect_found(installation: &Installation, what: &str) {
    let found = installation.stored().leftovers().await;
    assert!(found.iter().any(|leftover| leftover.contains(what)), "{what} is not among {found:?}");
}
