//! The bytes of a sealed file: a header that says how the key follows from the passphrase, then the sealed
//! text.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `HSSEALED` |
//! | 8 | 1 | the version of the format: 1 |
//! | 9 | 4 | memory of Argon2id in KiB, big-endian as all numbers |
//! | 13 | 4 | passes |
//! | 17 | 4 | lanes |
//! | 21 | 16 | salt |
//! | 37 | 32 | key check |
//! | 69 | 24 | nonce |
//! | 93 | | the text under XChaCha20-Poly1305, with everything before it as associated data |
//!
//! Argon2id (RFC 9106) makes 64 bytes of the passphrase: the key, and the key check. The check tells another
//! passphrase from damage, and ties the file to one key, which the cipher alone does not.

use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use zeroize::Zeroizing;

use crate::{entropy, keychain::StorageErrorKind, secret::Secret};

const MAGIC: [u8; 8] = *b"HSSEALED";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Where the key check begins: what is before it is the recipe.
const RECIPE_BYTES: usize = 37;
const HEADER_BYTES: usize = RECIPE_BYTES + KEY_BYTES + NONCE_BYTES;

/// The second choice of RFC 9106, section 4: for machines that have other things to do as well.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for: never less than what is written, and not so much that reading it is an attack.
const MEMORY_KIB_RANGE: RangeInclusive<u32> = MEMORY_KIB..=256 * 1024;
const PASSES_RANGE: RangeInclusive<u32> = PASSES..=10;
const LANES_RANGE: RangeInclusive<u32> = 1..=16;

/// How a key follows from a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
}

impl Recipe {
    /// The present one, with a salt of its own.
    pub(super) fn new() -> Result<Self, StorageErrorKind> {
        Ok(Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt: random()? })
    }

    /// The recipe of a sealed file, unless it is weaker than any that was ever written.
    pub(super) fn of(file: &[u8]) -> Result<Self, StorageErrorKind> {
        let corrupt = StorageErrorKind::Corrupt;
        let rest = file.strip_prefix(&MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION])).ok_or(corrupt)?;
        let (memory_kib, rest) = rest.split_first_chunk().ok_or(corrupt)?;
        let (passes, rest) = rest.split_first_chunk().ok_or(corrupt)?;
        let (lanes, rest) = rest.split_first_chunk().ok_or(corrupt)?;
        let (salt, _) = rest.split_first_chunk().ok_or(corrupt)?;
        let recipe = Self {
            memory_kib: u32::from_be_bytes(*memory_kib),
            passes: u32::from_be_bytes(*passes),
            lanes: u32::from_be_bytes(*lanes),
            salt: *salt,
        };
        let acceptable = MEMORY_KIB_RANGE.contains(&recipe.memory_kib)
            && PASSES_RANGE.contains(&recipe.passes)
            && LANES_RANGE.contains(&recipe.lanes);
        if acceptable { Ok(recipe) } else { Err(corrupt) }
    }

    fn write(&self, file: &mut Vec<u8>) {
        file.extend_from_slice(&MAGIC);
        file.push(VERSION);
        for number in [self.memory_kib, self.passes, self.lanes] {
            file.extend_from_slice(&number.to_be_bytes());
        }
        file.extend_from_slice(&self.salt);
    }
}

/// The key of a file.
pub(super) struct Key {
    recipe: Recipe,
    cipher: XChaCha20Poly1305,
    check: [u8; KEY_BYTES],
}

impl Key {
    /// Makes the key: a fraction of a second, and 64 MiB for as long.
    pub(super) fn derive(recipe: Recipe, passphrase: &Secret) -> Result<Self, StorageErrorKind> {
        let params = Params::new(recipe.memory_kib, recipe.passes, recipe.lanes, Some(2 * KEY_BYTES));
        let argon2 =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| StorageErrorKind::Corrupt)?);
        let mut output = Zeroizing::new([0; 2 * KEY_BYTES]);
        argon2
            .hash_password_into(passphrase.expose().as_bytes(), &recipe.salt, output.as_mut_slice())
            .map_err(|_| StorageErrorKind::Unavailable)?;
        let (key, check) = output.split_at(KEY_BYTES);
        Ok(Self {
            recipe,
            cipher: XChaCha20Poly1305::new_from_slice(key).map_err(|_| StorageErrorKind::Unavailable)?,
            check: check.try_into().map_err(|_| StorageErrorKind::Unavailable)?,
        })
    }

    /// What the key was made by.
    pub(super) fn recipe(&self) -> Recipe {
        self.recipe
    }

    /// Seals a text, under a nonce of its own.
    pub(super) fn seal(&self, text: &[u8]) -> Result<Vec<u8>, StorageErrorKind> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut file = Vec::with_capacity(HEADER_BYTES);
        self.recipe.write(&mut file);
        file.extend_from_slice(&self.check);
        file.extend_from_slice(&nonce);
        let payload = Payload { msg: text, aad: &file };
        let sealed =
            self.cipher.encrypt(&nonce.into(), payload).map_err(|_| StorageErrorKind::Unavailable)?;
        file.extend_from_slice(&sealed);
        Ok(file)
    }

    /// Opens what a key of the same recipe has sealed.
    ///
    /// # Errors
    ///
    /// `Locked` if it is another key, and with it another passphrase; `Corrupt` if anything was changed.
    pub(super) fn open(&self, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, StorageErrorKind> {
        let corrupt = StorageErrorKind::Corrupt;
        let (header, sealed) = file.split_at_checked(HEADER_BYTES).ok_or(corrupt)?;
        let (check, nonce) =
            header.get(RECIPE_BYTES..).and_then(|rest| rest.split_at_checked(KEY_BYTES)).ok_or(corrupt)?;
        // Whoever holds the file can compare at leisure: there is nothing to hide in the time that it takes.
        if check != self.check {
            return Err(StorageErrorKind::Locked);
        }
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| corrupt)?;
        let payload = Payload { msg: sealed, aad: header };
        self.cipher.decrypt(&nonce.into(), payload).map(Zeroizing::new).map_err(|_| corrupt)
    }
}

fn random<const N: usize>() -> Result<[u8; N], StorageErrorKind> {
    entropy::bytes().ok_or(StorageErrorKind::Unavailable)
}
