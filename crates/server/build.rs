//! Lists what is embedded: the console as `make console` built it, and the pages about errors. A build without a console
//! is a build all the same; it says so.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets this")).join("../..").canonicalize()?;
    let (dist, errors) = (root.join("console/dist"), root.join("docs/errors"));
    // Cargo looks at a directory that is missing at every build; an empty one it can compare.
    fs::create_dir_all(&dist)?;
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed={}", errors.display());

    let mut out = String::from("pub(super) const FILES: &[Embedded] = &[\n");
    for gz in find(&dist, "gz")? {
        let plain = gz.with_extension("");
        let name = plain.strip_prefix(&dist).expect("it was found there").display().to_string();
        let br = PathBuf::from(format!("{}.br", plain.display()));
        writeln!(
            out,
            "    Embedded {{ name: {name:?}, gz: include_bytes!({gz:?}), br: include_bytes!({br:?}) }},"
        )
        .expect("a string takes everything");
    }
    out.push_str("];\npub(super) const ERROR_PAGES: &[(&str, &str)] = &[\n");
    for page in find(&errors, "md")? {
        let code = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(out, "    ({code:?}, include_str!({page:?})),").expect("a string takes everything");
    }
    out.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets this")).join("console.rs"), out)
}

/// All files below a directory with this ending, in order.
fn find(directory: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path, ending)?);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
