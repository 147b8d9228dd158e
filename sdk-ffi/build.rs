//! What platforms ask of a shared library, whoever builds it.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "so Cargo and a build script talk")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Since Android 15 a page may have 16 KiB; linkers of older NDKs align to 4.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "android") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,-z,max-page-size=16384");
    }
}
