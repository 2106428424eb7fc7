//! The stopped directory: page checksums by `pg_checksums`, where the version has that program and
//! the directory is complete; the whole cluster by `pg_amcheck`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::site::Site;

/// Where programs of a version may be.
const PLACES: [&str; 3] =
    ["/usr/lib/postgresql/{}/bin", "/var/lib/dormouse/postgres/{}/bin", "/usr/pgsql-{}/bin"];

/// A program of the version under test.
fn program(site: &Site, name: &str) -> Option<PathBuf> {
    let version = site.world.plan.pg.to_string();
    let home = std::env::var_os("DORMOUSE_PG_HOME").map(|home| Path::new(&home).join(&version).join("bin"));
    let places = PLACES.iter().map(|place| PathBuf::from(place.replace("{}", &version)));
    home.into_iter().chain(places).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Every page of the stopped main branch must have its checksum.
pub(super) fn checksums(site: &Site) {
    let cluster = site.server.cluster_of(&site.project);
    // A directory with holes has no control file under this name.
    if !cluster.join("global/pg_control").is_file() {
        return site.world.say("check", "page checksums: the directory is not complete");
    }
    let Some(program) = program(site, "pg_checksums") else {
        return site.world.say("check", "page checksums: this version has no pg_checksums here");
    };
    let output = Command::new(program).arg("--check").arg("-D").arg(&cluster).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    // Checksums may be off, and a cluster that was killed is not looked at.
    if output.status.success() {
        let pages = said.lines().find(|line| line.starts_with("Blocks scanned"));
        site.world.say("check", &format!("page checksums are right: {}", pages.unwrap_or_default()));
    } else if said.contains("not enabled") {
        site.world.say("check", "page checksums are off");
    } else {
        site.world.complain("checksums", &said);
    }
}

/// The program that people use to check a database.
pub(super) fn pg_amcheck(site: &Site) {
    let Some(program) = program(site, "pg_amcheck") else { return };
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).args(["--heapallindexed", "--parent-check", "--install-missing"]);
    let config: tokio_postgres::Config = site.project.dsn.parse().unwrap();
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    let database = config.get_dbname().unwrap();
    command.args(["-h", "127.0.0.1", "-p", &config.get_ports()[0].to_string()]);
    command.args(["-U", config.get_user().unwrap(), "-d", database, "--maintenance-db", database]);
    command.env("PGPASSWORD", password).env("PGOPTIONS", config.get_options().unwrap_or_default());
    let output = command.output().unwrap();
    if output.status.success() {
        site.world.say("check", "pg_amcheck is content");
    } else {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if said.contains("amcheck\" is not available") {
            return site.world.say("check", "pg_amcheck: this version has no amcheck");
        }
        let first: Vec<&str> = said.lines().take(6).collect();
        site.world.complain("pg_amcheck", &first.join("; "));
    }
}
