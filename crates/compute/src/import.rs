//! Turns the copy of a foreign, cleanly stopped cluster into one that Dormouse can run.
//!
//! What a foreign cluster brings along that ours must not have: settings that load code or run
//! programs, access rules, superusers that somebody can log in as. Settings and rules are files, and
//! are replaced. The rest is done in single-user mode, before the cluster ever listens:
//!
//! ```text
//!  cluster   the bootstrap superuser becomes `dormouse_admin`, without a password
//!            every other superuser becomes an ordinary role; nobody replicates or reaches files
//!            the owner role exists (its password and rights come with the first wake)
//!  each      what belonged to the bootstrap superuser belongs to the owner
//!  database  event triggers are switched off: they would run in our administrator's name
//! ```
//!
//! All of it can be done twice. The statements are in [`sql`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::postgres::ADMIN_DATABASE;
use crate::postgres::discover::Installation;
use crate::sandbox::identity::Identity;
use crate::template::{ACCESS, CONFIGURATION, TemplateError, run};

pub mod sql;

/// The most databases of one imported cluster.
pub const MAX_DATABASES: usize = 1000;

/// A database that came along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// The role that owns it now.
    pub owner: String,
    /// Clients may see it: no template and not the maintenance database.
    pub visible: bool,
}

/// Makes a copied cluster ours. It belongs to `identity`, which has an account: single-user mode
/// looks its own name up. Blocks: starts PostgreSQL once for each database and three times more.
///
/// # Errors
/// When a file cannot be written or PostgreSQL refuses.
pub fn prepare(
    install: &Installation,
    identity: Identity,
    data: &Path,
    owner: &str,
) -> Result<Vec<Imported>, TemplateError> {
    for (name, text) in [
        ("postgresql.conf", CONFIGURATION),
        ("postgresql.auto.conf", ""),
        ("pg_hba.conf", ACCESS),
        ("pg_ident.conf", ""),
    ] {
        write(&data.join(name), text, identity)?;
    }
    let single = |database: &str, statements: &str| {
        let first = ["--single", "-j", "-D"].map(String::from).into_iter();
        let args: Vec<String> = first.chain([data.display().to_string(), database.to_owned()]).collect();
        run("postgres", &install.bin.join("postgres"), &args, identity, statements, data)
    };
    single(ADMIN_DATABASE, &sql::cluster(install.major, owner))?;
    let before = databases(&single(ADMIN_DATABASE, sql::DATABASES)?);
    if let Some(bad) = before.iter().find(|d| d.name.starts_with('-')) {
        // The program would take it for an option.
        let output = format!("the database `{}` begins with a hyphen: rename it before the import", bad.name);
        return Err(TemplateError::Failed { program: "the import", output });
    }
    // `postgres` comes last: database ownership is changed there.
    for database in before.iter().filter(|d| d.name != ADMIN_DATABASE) {
        single(&database.name, &sql::database(owner))?;
    }
    single(ADMIN_DATABASE, &sql::database(owner))?;
    Ok(databases(&single(ADMIN_DATABASE, sql::DATABASES)?))
}

fn write(path: &Path, text: &str, identity: Identity) -> Result<(), TemplateError> {
    let failed = |source| TemplateError::File { what: "write", path: path.to_owned(), source };
    // The directory was copied by us from a list of names that has none of these.
    let _absent = fs::remove_file(path);
    fs::write(path, text).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    identity.own(path).map_err(failed)
}

/// Reads what [`sql::DATABASES`] printed: names are in hexadecimal, because single-user mode does not
/// quote what it prints.
fn databases(output: &str) -> Vec<Imported> {
    let rows = output.lines().filter_map(|line| {
        let value = line.split_once("dormouse_database = \"")?.1.split('"').next()?;
        let mut parts = value.split('/').map(unhex);
        Some(Imported { name: parts.next()??, owner: parts.next()??, visible: parts.next()?? == "t" })
    });
    rows.take(MAX_DATABASES).collect()
}

fn unhex(text: &str) -> Option<String> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_through_whatever_is_in_them() {
        let line = |name: &str, owner: &str, visible: &str| {
            let hex = |s: &str| s.bytes().map(|b| format!("{b:02x}")).collect::<String>();
            format!(
                "\t 1: dormouse_database = \"{}/{}/{}\"\t(typeid = 25, len = -1)\n",
                hex(name),
                hex(owner),
                hex(visible)
            )
        };
        let output = format!(
            "PostgreSQL stand-alone backend 15.1\nbackend> \n\t 1: dormouse_database\t(typeid = 25)\n\t----\n{}\t----\n{}",
            line("a\"b = \n x", "größe", "t"),
            line("template1", "dormouse_admin", "f")
        );
        let found = databases(&output);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].owner.as_str()), ("a\"b = \n x", "größe"));
        assert!(found[0].visible && !found[1].visible);
    }
}
