//! Our reading of the control file against PostgreSQL's own.

use dormouse_base::{Lsn, Timeline};
use dormouse_storage::snapshot::control_file::{ControlFile, State, wait_for};

use crate::cluster::{Cluster, program, run, scratch};

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim_start_matches(':').trim()
}

#[test]
fn fields_are_those_of_pg_controldata() {
    for major in [15, 16, 18] {
        let dir = scratch();
        let Some(mut cluster) = Cluster::new(major, dir.path(), "c") else { continue };
        for running in [false, true] {
            if running {
                cluster.start();
            }
            let bytes = std::fs::read(cluster.data.join("global/pg_control")).unwrap();
            let parsed = ControlFile::parse(&bytes).unwrap();
            let text = run(program(&cluster.bin.join("pg_controldata")).arg(&cluster.data));
            assert_eq!(parsed.system_identifier.to_string(), field(&text, "Database system identifier"));
            assert_eq!(parsed.version.to_string(), field(&text, "pg_control version number"));
            assert_eq!(parsed.catalog_version.to_string(), field(&text, "Catalog version number"));
            assert_eq!(parsed.checkpoint.to_string(), field(&text, "Latest checkpoint location"));
            assert_eq!(parsed.redo.to_string(), field(&text, "Latest checkpoint's REDO location"));
            assert_eq!(parsed.timeline.to_string(), field(&text, "Latest checkpoint's TimeLineID"));
            assert_eq!(parsed.checksums, field(&text, "Data page checksum version") != "0");
            assert_eq!(
                parsed.state == State::ShutDown,
                field(&text, "Database cluster state") == "shut down"
            );
            assert_eq!(parsed.state == State::ShutDown, !running);
            let mut damaged = bytes.clone();
            damaged[100] ^= 1;
            assert!(ControlFile::parse(&damaged).is_err());
        }
    }
}

#[test]
fn a_point_to_wait_for_is_where_postgresql_looks_for_it() {
    for major in [15, 16, 17, 18] {
        let dir = scratch();
        let Some(cluster) = Cluster::new(major, dir.path(), "c") else { continue };
        let path = cluster.data.join("global/pg_control");
        let before = std::fs::read(&path).unwrap();
        let mut bytes = before.clone();
        wait_for(&mut bytes, Lsn(0x5_1234_5678), Timeline(7)).unwrap();
        wait_for(&mut bytes, Lsn(0x5_1234_5677), Timeline(8)).unwrap();
        let parsed = ControlFile::parse(&before).unwrap();
        assert_eq!(parsed.goes_on, parsed.timeline);
        assert_eq!(ControlFile::parse(&bytes).unwrap(), ControlFile { goes_on: Timeline(7), ..parsed });
        std::fs::write(&path, &bytes).unwrap();
        let shown = program(&cluster.bin.join("pg_controldata")).arg(&cluster.data).output().unwrap();
        let text = String::from_utf8(shown.stdout).unwrap() + &String::from_utf8(shown.stderr).unwrap();
        assert!(!text.contains("WARNING"), "{text}");
        assert_eq!(field(&text, "Minimum recovery ending location"), "5/12345678");
        assert_eq!(field(&text, "Min recovery ending loc's timeline"), "7");
        bytes[100] ^= 1;
        assert!(wait_for(&mut bytes, Lsn(1), Timeline(1)).is_err());
    }
}
