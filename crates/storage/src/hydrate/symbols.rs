//! Can the front serve this `postgres`? It sees only what goes through functions that it knows.
//!
//! Every function that the program takes from elsewhere is in its dynamic symbol table. One whose name looks as
//! if it reached files, and that is neither wrapped by the front nor known to be harmless, means: fill the whole
//! directory before the start. So does a program without a dynamic linker. A false alarm costs time only.

use dormouse_hydrate::layout::WRAPPED;
use object::{Object, ObjectSymbol};

/// Parts of names that reach file contents.
const SUSPICIOUS: [&str; 16] = [
    "open",
    "read",
    "write",
    "truncate",
    "mmap",
    "splice",
    "sendfile",
    "copy_file",
    "fallocate",
    "syscall",
    "uring",
    "rename",
    "unlink",
    "aio_",
    "creat",
    "remap",
];

/// Suspicious to look at, but without a way to a relation's bytes.
const HARMLESS: [&str; 31] = [
    "closedir",
    "dlopen",
    "fdopendir",
    "fread",
    "freopen",
    "fwrite",
    "fread_unlocked",
    "fwrite_unlocked",
    "getdents",
    "opendir",
    "openlog",
    "openpty",
    "popen",
    "readdir",
    "readdir64",
    "readlink",
    "readlinkat",
    "shm_open",
    "shm_unlink",
    "sem_open",
    "sem_unlink",
    "mq_open",
    "mremap",
    "memfd_create",
    "epoll_create",
    "epoll_create1",
    "timer_create",
    "timerfd_create",
    "__readlink_chk",
    "open_memstream",
    "posix_spawn_file_actions_addopen",
];

/// Beginnings of names that belong to libraries which do not touch the data directory.
const FOREIGN: [&str; 17] = [
    "pthread_", "u_", "ucol_", "ucnv_", "uloc_", "uset_", "unorm", "uiter_", "ldap_", "gss_", "krb5_",
    "pam_", "sd_", "xml", "lz4", "thrd_", "_ZN",
];

/// Why the front cannot serve a program.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It cannot be understood.
    #[error("the program is no ELF file that can be read")]
    Unreadable(#[source] object::Error),
    /// Nothing is loaded into a static program.
    #[error("the program is linked statically")]
    Static,
    /// It uses functions that the front does not know.
    #[error("the program reaches files through {0:?}")]
    Unknown(Vec<String>),
}

/// Whether the front sees everything that this program does to files.
///
/// # Errors
/// When it does not; then hydrate before the start.
pub fn check(program: &[u8]) -> Result<(), Unfit> {
    let file = object::File::parse(program).map_err(Unfit::Unreadable)?;
    let undefined: Vec<&str> = file
        .dynamic_symbols()
        .filter(ObjectSymbol::is_undefined)
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| !name.is_empty())
        .collect();
    if undefined.is_empty() || !undefined.iter().any(|name| WRAPPED.contains(name)) {
        return Err(Unfit::Static);
    }
    let unknown: Vec<String> =
        undefined.into_iter().filter(|name| is_unknown(name)).map(str::to_owned).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Unfit::Unknown(unknown)) }
}

fn is_unknown(name: &str) -> bool {
    let known = WRAPPED.contains(&name) || HARMLESS.contains(&name);
    let foreign = FOREIGN.iter().any(|begin| name.starts_with(begin))
        // The C library has no capitals in names of this kind; OpenSSL, ICU, libxml and zstd do.
        || name.chars().any(|c| c.is_ascii_uppercase());
    let suspicious = SUSPICIOUS.iter().any(|part| name.contains(part));
    suspicious && !known && !foreign
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Every PostgreSQL on this machine, as the setup script leaves them.
    fn installed() -> Vec<PathBuf> {
        let roots = ["/usr/lib/postgresql", "/var/lib/dormouse/postgres"];
        let versions = roots.iter().filter_map(|root| std::fs::read_dir(root).ok()).flatten().flatten();
        versions.map(|version| version.path().join("bin/postgres")).filter(|path| path.is_file()).collect()
    }

    #[test]
    fn the_supported_versions_are_fit() {
        let programs = installed();
        assert!(!programs.is_empty(), "no PostgreSQL is installed");
        for program in programs {
            check(&std::fs::read(&program).unwrap())
                .unwrap_or_else(|why| panic!("{}: {why}", program.display()));
        }
    }

    #[test]
    fn new_ways_to_files_are_noticed() {
        for name in ["preadv3", "syscall", "process_vm_readv", "io_uring_submit_read", "vmsplice", "openat2"]
        {
            assert!(is_unknown(name), "{name}");
        }
        for name in ["pread", "BIO_read", "pthread_create", "malloc", "opendir", "ucol_open_72"] {
            assert!(!is_unknown(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_dynamic_is_refused() {
        assert!(matches!(check(b"#!/bin/sh\n"), Err(Unfit::Unreadable(_))));
    }

    #[test]
    fn the_front_exports_exactly_what_it_says() {
        let file = object::File::parse(dormouse_hydrate::FRONT).unwrap();
        let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
        let mut defined: Vec<&str> = defined.filter_map(|symbol| symbol.name().ok()).collect();
        let mut wrapped = WRAPPED.to_vec();
        defined.sort_unstable();
        wrapped.sort_unstable();
        assert_eq!(defined, wrapped);
    }
}
