//! What somebody can do to a sealed file who can write where it is, and what comes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::{
    envelope::{Key, Recipe},
    *,
};

const SLOT: &str = "session/hivesync.example/default";
const SECRET: &str = "a-refresh-token-that-must-not-be-seen";
const PASSPHRASE: &str = "correct horse battery staple";

/// A directory with a sealed file that holds [`SECRET`].
struct Sealed {
    directory: TempDir,
    store: SealedFile,
}

impl Sealed {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SealedFile::new(directory.path().join("sealed"), PASSPHRASE.into()).unwrap();
        store.save(SLOT, &SECRET.into()).await.unwrap();
        Self { directory, store }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sealed")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What comes of loading and of saving now; the file stays as it is.
    async fn outcome(&self) -> Option<StorageErrorKind> {
        let loaded = self.store.load(SLOT).await;
        let saved = self.store.save("other", &"secret".into()).await;
        assert_eq!(loaded.as_ref().err(), saved.as_ref().err());
        loaded.err()
    }
}

fn key() -> Key {
    Key::derive(Recipe::new().unwrap(), &PASSPHRASE.into()).unwrap()
}

#[tokio::test]
async fn nothing_is_there_in_clear_or_for_others() {
    let sealed = Sealed::new().await;
    for entry in fs::read_dir(sealed.directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{entry:?}");
        let bytes = fs::read(entry.path()).unwrap();
        for clear in [SECRET, SLOT, PASSPHRASE] {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{entry:?}");
        }
    }
}

#[tokio::test]
async fn what_is_saved_outlives_the_store_and_each_writing_is_sealed_anew() {
    let sealed = Sealed::new().await;
    let before = sealed.bytes();
    let again = SealedFile::new(sealed.path(), PASSPHRASE.into()).unwrap();
    assert_eq!(again.load(SLOT).await.unwrap(), Some(SECRET.into()));
    again.save(SLOT, &SECRET.into()).await.unwrap();
    assert_ne!(sealed.bytes()[69..93], before[69..93], "a nonce is used once");
    assert_eq!(sealed.store.load(SLOT).await.unwrap(), Some(SECRET.into()));
}

#[tokio::test]
async fn another_passphrase_is_locked_out_and_changes_nothing() {
    let sealed = Sealed::new().await;
    let before = sealed.bytes();
    let thief = SealedFile::new(sealed.path(), "correct horse".into()).unwrap();
    assert_eq!(thief.load(SLOT).await, Err(StorageErrorKind::Locked));
    assert_eq!(thief.save(SLOT, &"mine".into()).await, Err(StorageErrorKind::Locked));
    assert_eq!(thief.delete(SLOT).await, Err(StorageErrorKind::Locked));
    assert_eq!(sealed.bytes(), before);
}

#[test]
fn an_empty_passphrase_or_name_is_refused() {
    assert!(SealedFile::new("/somewhere/sealed", "".into()).is_err());
    assert!(SealedFile::new("/", PASSPHRASE.into()).is_err());
}

#[test]
fn every_change_is_noticed() {
    let key = key();
    let file = key.seal(b"{}").unwrap();
    assert_eq!(*key.open(&file).unwrap(), b"{}");
    for length in 0..file.len() {
        assert_eq!(key.open(&file[..length]).err(), Some(StorageErrorKind::Corrupt), "{length} bytes");
    }
    assert_eq!(key.open(&[&file[..], b"x"].concat()).err(), Some(StorageErrorKind::Corrupt));
    for position in 0..file.len() {
        let mut changed = file.clone();
        changed[position] ^= 0x80;
        assert!(key.open(&changed).is_err(), "byte {position}");
    }
}

#[test]
fn a_header_under_another_text_does_not_open() {
    let key = key();
    let (one, other) = (key.seal(b"one").unwrap(), key.seal(b"other").unwrap());
    let swapped = [&one[..93], &other[93..]].concat();
    assert_eq!(key.open(&swapped).err(), Some(StorageErrorKind::Corrupt));
}

#[test]
fn a_cheaper_key_or_a_ruinous_one_is_refused_before_it_is_made() {
    let file = key().seal(b"{}").unwrap();
    for (offset, number) in [(9, 8), (9, 64 * 1024 - 1), (9, u32::MAX), (13, 2), (13, u32::MAX), (17, 0)] {
        let mut changed = file.clone();
        changed[offset..offset + 4].copy_from_slice(&number.to_be_bytes());
        assert_eq!(Recipe::of(&changed), Err(StorageErrorKind::Corrupt), "{number} at {offset}");
    }
    for version in [0, 2, 255] {
        let mut changed = file.clone();
        changed[8] = version;
        assert_eq!(Recipe::of(&changed), Err(StorageErrorKind::Corrupt), "version {version}");
    }
}

#[tokio::test]
async fn a_file_of_another_account_brings_its_own_slots_only() {
    let sealed = Sealed::new().await;
    let other = SealedFile::new(sealed.directory.path().join("other"), PASSPHRASE.into()).unwrap();
    other.save("session/elsewhere.example/default", &"another".into()).await.unwrap();
    fs::copy(sealed.directory.path().join("other"), sealed.path()).unwrap();
    assert_eq!(sealed.store.load(SLOT).await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_file_is_never_overwritten() {
    let sealed = Sealed::new().await;
    for damage in [&sealed.bytes()[..50], b"", b"not a sealed file"] {
        fs::write(sealed.path(), damage).unwrap();
        assert_eq!(sealed.outcome().await, Some(StorageErrorKind::Corrupt));
        assert_eq!(sealed.bytes(), damage);
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_file_is_not_followed() {
    let sealed = Sealed::new().await;
    let elsewhere = sealed.directory.path().join("elsewhere");
    fs::rename(sealed.path(), &elsewhere).unwrap();
    symlink(&elsewhere, sealed.path()).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    assert_eq!(sealed.outcome().await, Some(StorageErrorKind::File));
    fs::remove_file(sealed.path()).unwrap();
    fs::hard_link(&elsewhere, sealed.path()).unwrap();
    assert_eq!(sealed.outcome().await, Some(StorageErrorKind::File));
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[tokio::test]
async fn a_link_in_place_of_what_stands_beside_the_file_is_not_followed() {
    let sealed = Sealed::new().await;
    let victim = sealed.directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, sealed.directory.path().join(".sealed.new")).unwrap();
    sealed.store.save(SLOT, &"newer".into()).await.unwrap();
    let lock = sealed.directory.path().join(".sealed.lock");
    fs::remove_file(&lock).unwrap();
    symlink(&victim, &lock).unwrap();
    assert_eq!(sealed.store.save(SLOT, &"newest".into()).await, Err(StorageErrorKind::File));
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(sealed.store.load(SLOT).await.unwrap(), Some("newer".into()));
}

#[tokio::test]
async fn a_file_that_others_have_access_to_is_refused() {
    let sealed = Sealed::new().await;
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(sealed.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(sealed.outcome().await, Some(StorageErrorKind::File), "{mode:o}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_refused_without_waiting_for_it() {
    let sealed = Sealed::new().await;
    let replace_by = |make: fn(&Path)| {
        let _ = fs::remove_file(sealed.path());
        make(&sealed.path());
    };
    replace_by(|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap());
    assert_eq!(sealed.outcome().await, Some(StorageErrorKind::File));
    replace_by(|path| fs::create_dir(path).unwrap());
    assert_eq!(sealed.outcome().await, Some(StorageErrorKind::File));
}

#[tokio::test]
async fn a_huge_file_is_not_read() {
    let sealed = Sealed::new().await;
    File::options().write(true).open(sealed.path()).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(sealed.outcome().await, Some(StorageErrorKind::Corrupt));
}

#[tokio::test]
async fn more_than_fits_is_refused_and_loses_nothing() {
    let sealed = Sealed::new().await;
    let huge = Secret::new("x".repeat(1024 * 1024));
    assert_eq!(sealed.store.save("huge", &huge).await, Err(StorageErrorKind::File));
    assert_eq!(sealed.store.load(SLOT).await.unwrap(), Some(SECRET.into()));
}

#[tokio::test]
async fn what_a_death_in_the_middle_of_writing_left_is_in_nobodys_way() {
    let sealed = Sealed::new().await;
    fs::write(sealed.directory.path().join(".sealed.new"), "half of it").unwrap();
    assert_eq!(sealed.store.load(SLOT).await.unwrap(), Some(SECRET.into()));
    sealed.store.save(SLOT, &"newer".into()).await.unwrap();
    let mut names: Vec<_> =
        fs::read_dir(sealed.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".sealed.lock", "sealed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_neither_loses_what_the_other_wrote() {
    let sealed = Sealed::new().await;
    // A store of its own holds a lock of its own, as another process does.
    let other = SealedFile::new(sealed.path(), PASSPHRASE.into()).unwrap();
    let rounds = (0..10).map(|round| {
        let (one, two) = (&sealed.store, &other);
        async move {
            let (slot, secret) = (format!("one/{round}"), Secret::new("one's"));
            let ones = one.save(&slot, &secret);
            let (slot, secret) = (format!("two/{round}"), Secret::new("two's"));
            let (ones, twos) = tokio::join!(ones, two.save(&slot, &secret));
            ones.and(twos)
        }
    });
    assert!(futures::future::join_all(rounds).await.iter().all(Result::is_ok));
    for round in 0..10 {
        for store in ["one", "two"] {
            let found = sealed.store.load(&format!("{store}/{round}")).await.unwrap();
            assert_eq!(found, Some(Secret::new(format!("{store}'s"))), "round {round}");
        }
    }
}
