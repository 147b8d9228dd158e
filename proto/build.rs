//! Compiles the contract without an installed protoc, and turns its `buf.validate` rules into code.

#![allow(clippy::disallowed_methods, reason = "a build script is configured by cargo's environment")]

use std::{collections::BTreeSet, env, error::Error, fs, path::PathBuf};

use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

mod build_validation;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=hivesync");
    println!("cargo:rerun-if-changed=buf");
    println!("cargo:rerun-if-changed=build_validation.rs");

    let mut files: Vec<PathBuf> = fs::read_dir("hivesync/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();
    // Options that are extensions survive in these bytes, unlike in prost's own types.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("hivesync.bin"), &encoded)?;
    fs::write(out.join("validation.rs"), build_validation::generate(&encoded)?)?;
    fs::write(out.join("idempotent_methods.rs"), idempotent_methods(&descriptors))?;

    tonic_prost_build::configure()
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .build_transport(env::var_os("CARGO_FEATURE_TRANSPORT").is_some())
        .compile_fds(descriptors)?;
    Ok(())
}

/// The source of a sorted list: the paths of the methods whose `idempotency_level` says that a repeat is harmless.
fn idempotent_methods(descriptors: &FileDescriptorSet) -> String {
    let mut paths = BTreeSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.clone().unwrap_or_default().idempotency_level();
                if matches!(level, IdempotencyLevel::Idempotent | IdempotencyLevel::NoSideEffects) {
                    paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
    }
    format!("&{:?}", Vec::from_iter(paths))
}
