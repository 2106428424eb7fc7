//! The rules of imports, each broken once by a directory that is otherwise fine; and what a copy has.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A directory that looks like a cluster; `spoil` makes it one that is refused.
fn outcome(spoil: impl FnOnce(&Path)) -> Result<Importable, String> {
    let dir = tempfile::tempdir().unwrap();
    let (cluster, own) = (dir.path().join("cluster"), dir.path().join("own"));
    fs::create_dir(&own).unwrap();
    for name in ["base/1", "global", "pg_tblspc", "pg_twophase", "pg_wal", "pg_replslot/old"] {
        fs::create_dir_all(cluster.join(name)).unwrap();
    }
    let newest = Installations::discover(&[]).newest().unwrap().major;
    fs::write(cluster.join("PG_VERSION"), format!("{newest}\n")).unwrap();
    fs::write(cluster.join("base/1/1259"), vec![1; 1000]).unwrap();
    fs::write(cluster.join("pg_replslot/old/state"), vec![1; 1000]).unwrap();
    fs::write(cluster.join("global/pg_control"), control(1, 16 << 20)).unwrap();
    // What is not data may be anything.
    symlink("/etc/passwd", cluster.join("server.key")).unwrap();
    spoil(&cluster);
    examine(&cluster, &own, &Installations::discover(&[])).map_err(|error| error.to_string())
}

fn control(state: u32, wal_segment: u32) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    bytes[8..12].copy_from_slice(&1300u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&state.to_ne_bytes());
    for (number, value) in [8192u32, 131_072, 8192, wal_segment].into_iter().enumerate() {
        bytes[216 + 4 * number..220 + 4 * number].copy_from_slice(&value.to_ne_bytes());
    }
    let sum = crc32c::crc32c(&bytes[..288]);
    bytes[288..292].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn refusal(spoil: impl FnOnce(&Path)) -> String {
    outcome(spoil).unwrap_err()
}

#[test]
fn a_stopped_cluster_may_come_without_its_slots() {
    let found = outcome(|_| {}).unwrap();
    assert!((1000 + 8192..1000 + 8192 + 100).contains(&found.bytes), "{}", found.bytes);
}

#[test]
fn running_and_killed_clusters_are_refused() {
    let pid = std::process::id();
    let running = refusal(|c| fs::write(c.join("postmaster.pid"), format!("{pid}\n/x\n")).unwrap());
    assert!(running.contains(&format!("it runs (process {pid})")), "{running}");
    let killed = refusal(|c| fs::write(c.join("global/pg_control"), control(6, 16 << 20)).unwrap());
    assert!(killed.contains("orderly"), "{killed}");
    // A forgotten file is no harm when the control file is at rest. (No process has this number.)
    outcome(|c| fs::write(c.join("postmaster.pid"), "2147483646\n").unwrap()).unwrap();
    let standby = refusal(|c| fs::write(c.join("global/pg_control"), control(2, 16 << 20)).unwrap());
    assert!(standby.contains("standby"), "{standby}");
    assert!(refusal(|c| fs::write(c.join("standby.signal"), "").unwrap()).contains("standby.signal"));
}

#[test]
fn other_layouts_and_versions_are_refused() {
    let wal = refusal(|c| fs::write(c.join("global/pg_control"), control(1, 64 << 20)).unwrap());
    assert!(wal.contains("WAL segments of 67108864"), "{wal}");
    assert!(refusal(|c| fs::write(c.join("global/pg_control"), "x").unwrap()).contains("damaged"));
    assert!(
        refusal(|c| fs::write(c.join("PG_VERSION"), "12\n").unwrap())
            .contains("PostgreSQL 12 is not installed")
    );
    assert!(refusal(|c| fs::write(c.join("PG_VERSION"), "9.6\n").unwrap()).contains("15 to 18"));
    assert!(refusal(|c| fs::remove_file(c.join("PG_VERSION")).unwrap()).contains("no PG_VERSION"));
}

#[test]
fn links_tablespaces_and_prepared_transactions_are_refused() {
    assert!(refusal(|c| symlink("/mnt", c.join("pg_tblspc/16400")).unwrap()).contains("tablespaces"));
    assert!(refusal(|c| fs::write(c.join("pg_twophase/1"), "").unwrap()).contains("prepared"));
    let wal = refusal(|c| {
        fs::remove_dir(c.join("pg_wal")).unwrap();
        symlink("/mnt", c.join("pg_wal")).unwrap();
    });
    assert!(wal.contains("pg_wal is a link"), "{wal}");
    assert!(refusal(|c| symlink("/etc/shadow", c.join("base/1/2")).unwrap()).contains("is a link"));
    let control = refusal(|c| {
        fs::remove_file(c.join("global/pg_control")).unwrap();
        symlink("/etc/shadow", c.join("global/pg_control")).unwrap();
    });
    assert!(!control.is_empty());
}

#[test]
fn what_others_may_write_is_refused() {
    let chmod = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    assert!(refusal(|c| chmod(c.to_owned(), 0o777)).contains("others than its owner"));
    assert!(refusal(|c| chmod(c.join("base"), 0o770)).contains("others than its owner"));
    assert!(refusal(|c| chmod(c.join("base/1/1259"), 0o646)).contains("others than its owner"));
    assert!(refusal(|c| chmod(c.parent().unwrap().to_owned(), 0o777)).contains("exchange the directory"));
}

#[test]
fn the_servers_own_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("computes/x/data");
    fs::create_dir_all(&inside).unwrap();
    let installed = Installations::discover(&[]);
    for (given, own) in [(inside.as_path(), dir.path()), (dir.path(), inside.as_path())] {
        let error = examine(given, own, &installed).unwrap_err().to_string();
        assert!(error.contains("own data directory"), "{error}");
    }
    let relative = examine(Path::new("data"), dir.path(), &installed).unwrap_err().to_string();
    assert!(relative.contains("absolute"), "{relative}");
    let absent = examine(Path::new("/no/such/place"), dir.path(), &installed).unwrap_err().to_string();
    assert!(absent.contains("there is no directory"), "{absent}");
}

#[test]
fn a_copy_has_the_data_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a");
    for name in ["base/1/pgsql_tmp", "pg_wal/archive_status", "pg_replslot/old"] {
        fs::create_dir_all(source.join(name)).unwrap();
    }
    for name in [
        "base/1/1259",
        "base/1/pg_internal.init",
        "pg_wal/archive_status/x.ready",
        "server.key",
        "postgresql.auto.conf",
    ] {
        fs::write(source.join(name), name).unwrap();
    }
    let target = dir.path().join("b");
    let root = open_dir(&source).unwrap();
    Walk { source: &source, copy: true }.directory(&root, Path::new(""), &target, 0).unwrap();
    assert_eq!(fs::read_to_string(target.join("base/1/1259")).unwrap(), "base/1/1259");
    assert!(target.join("pg_replslot").is_dir() && target.join("pg_wal/archive_status").is_dir());
    for gone in [
        "base/1/pg_internal.init",
        "base/1/pgsql_tmp",
        "pg_wal/archive_status/x.ready",
        "pg_replslot/old",
        "server.key",
        "postgresql.auto.conf",
    ] {
        assert!(!target.join(gone).exists(), "{gone}");
    }
}
