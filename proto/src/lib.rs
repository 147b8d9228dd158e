//! The wire contract of HiveSync, generated from `proto/hivesync/v1`, and the pure rules that both ends
//! must apply identically.

pub mod device_proof;
pub mod manifest;
pub mod path;
pub mod repository_url;
pub mod text;
pub mod validation;
pub mod worker_proof;

/// The generated types of package `hivesync.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    missing_docs,
    unused_qualifications,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("hivesync.v1");
}

/// What a worker and a server speak on their stream: `Hello.protocol`.
pub const WORKER_PROTOCOL: u32 = 1;

/// The encoded `FileDescriptorSet` of the contract, for reflection and for tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hivesync.bin"));

/// The paths, `/package.Service/Method`, of the methods whose contract says that a repeat is harmless. Sorted.
/// Here because a client that knew it from [`DESCRIPTORS`] would carry the whole contract for it, comments included.
pub const IDEMPOTENT_METHODS: &[&str] = include!(concat!(env!("OUT_DIR"), "/idempotent_methods.rs"));
