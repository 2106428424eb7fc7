//! Compiles the front, a small shared object, with the same compiler, so that the library can carry it.
//!
//! Why not a `crate-type = ["cdylib", "rlib"]`: the front exports `open`, `read` and the like. As part of an
//! rlib these names could end up in the server's own binary and replace the C library's there. So the rlib
//! sees the same source without exported names (and lints it), and only this call exports them.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Everything the front is made of.
const SOURCES: [&str; 4] = ["build.rs", "src/cdylib.rs", "src/layout.rs", "src/front"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rustc-check-cfg=cfg(dormouse_front)");
    let var = |name: &str| env::var(name).unwrap_or_default();
    let out = PathBuf::from(var("OUT_DIR")).join("front.so");
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args(["src/cdylib.rs", "--crate-name", "dormouse_front", "--crate-type", "cdylib"]);
    rustc.args(["--edition", "2024", "--cfg", "dormouse_front", "--target", &var("TARGET")]);
    rustc.args(["-C", "panic=abort", "-C", "opt-level=3", "-C", "codegen-units=1", "-C", "strip=debuginfo"]);
    // All addresses are known when it is loaded: a first call from a signal handler must not enter the linker.
    rustc.args(["-C", "link-arg=-Wl,-z,now", "-C", "link-arg=-Wl,-z,nodelete"]);
    // The precompiled `core` names it for unwinding, which does not happen here.
    rustc.args(["-C", "link-arg=-Wl,--defsym=rust_eh_personality=0"]);
    let linker = var("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.arg("-o").arg(&out);
    // A wrapper's flags (coverage, sanitizers) would drag the standard library in.
    rustc.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the front cannot be compiled: {status}"),
        Err(error) => panic!("the compiler cannot be started: {error}"),
    }
}
