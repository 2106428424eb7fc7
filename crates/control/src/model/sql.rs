//! SQL text for roles and databases. Every name and value goes through [`ident`] or [`literal`];
//! nothing else in this crate quotes.

use super::record::{Database, Role};

/// Predefined roles that a branch's owner is a member of, with the first major version that has it.
/// Together they let the owner do what a superuser does to data and sessions, not to the machine.
const OWNER_MEMBERSHIPS: [(&str, u16); 7] = [
    ("pg_read_all_data", 14),
    ("pg_write_all_data", 14),
    ("pg_monitor", 10),
    ("pg_signal_backend", 10),
    ("pg_checkpoint", 15),
    ("pg_create_subscription", 16),
    ("pg_maintain", 17),
];

/// Quotes an identifier.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string. Works with `standard_conforming_strings` on or off.
#[must_use]
pub fn literal(value: &str) -> String {
    if value.contains('\\') {
        format!(" E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

/// `ALTER ROLE … RENAME TO …`.
#[must_use]
pub fn rename_role(from: &str, to: &str) -> String {
    format!("ALTER ROLE {} RENAME TO {}", ident(from), ident(to))
}

/// `ALTER DATABASE … RENAME TO …`.
#[must_use]
pub fn rename_database(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}", ident(from), ident(to))
}

/// Login, password and expiry of a role, as one `CREATE ROLE` or `ALTER ROLE`. The password goes in
/// as its verifier, so the clear text never reaches PostgreSQL or its log.
#[must_use]
pub fn write_role(role: &Role, exists: bool) -> String {
    let verb = if exists { "ALTER" } else { "CREATE" };
    let login = if role.can_login { "LOGIN" } else { "NOLOGIN" };
    let password = role.verifier.as_deref().map_or_else(|| "NULL".to_owned(), literal);
    let until = match (&role.valid_until, exists) {
        (Some(at), _) => format!(" VALID UNTIL {}", literal(&at.to_string())),
        (None, true) => " VALID UNTIL 'infinity'".to_owned(),
        (None, false) => String::new(),
    };
    format!("{verb} ROLE {} {login} PASSWORD {password}{until}", ident(&role.name))
}

/// What the owner of a branch may do, beyond [`write_role`].
#[must_use]
pub fn grant_owner(name: &str, pg_major: u16, superuser: bool) -> String {
    let name = ident(name);
    let power = if superuser { "SUPERUSER" } else { "NOSUPERUSER" };
    let groups: Vec<&str> =
        OWNER_MEMBERSHIPS.iter().filter(|(_, since)| pg_major >= *since).map(|(role, _)| *role).collect();
    format!(
        "ALTER ROLE {name} {power} CREATEDB CREATEROLE BYPASSRLS; GRANT {} TO {name} WITH ADMIN OPTION",
        groups.join(", ")
    )
}

/// What the owner may do with a role that the API made: everything, as with one it made itself.
#[must_use]
pub fn grant_to_owner(role: &str, owner: &str) -> String {
    format!("GRANT {} TO {} WITH ADMIN OPTION", ident(role), ident(owner))
}

/// Takes the login away from a role that is to be dropped.
#[must_use]
pub fn lock_role(name: &str) -> String {
    format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", ident(name))
}

/// Hands what a role owns in the current database to `heir` and drops its rights there.
#[must_use]
pub fn disown(name: &str, heir: &str) -> String {
    format!("REASSIGN OWNED BY {0} TO {1}; DROP OWNED BY {0}", ident(name), ident(heir))
}

/// `DROP ROLE`.
#[must_use]
pub fn drop_role(name: &str) -> String {
    format!("DROP ROLE IF EXISTS {}", ident(name))
}

/// `CREATE DATABASE` with its owner.
#[must_use]
pub fn create_database(database: &Database) -> String {
    format!("CREATE DATABASE {} OWNER {}", ident(&database.name), ident(&database.owner))
}

/// `ALTER DATABASE … OWNER TO …`.
#[must_use]
pub fn own_database(database: &str, owner: &str) -> String {
    format!("ALTER DATABASE {} OWNER TO {}", ident(database), ident(owner))
}

/// Drops a database and ends the sessions that are in it.
#[must_use]
pub fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_quotes() {
        assert_eq!(ident("a\"; DROP ROLE x; --"), "\"a\"\"; DROP ROLE x; --\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'"), r" E'\\'''");
    }

    #[test]
    fn memberships_follow_the_version() {
        assert!(!grant_owner("o", 15, false).contains("pg_create_subscription"));
        assert!(grant_owner("o", 17, false).contains("pg_maintain"));
        assert!(grant_owner("o", 15, false).contains("NOSUPERUSER"));
        assert!(grant_owner("o", 15, true).contains(" SUPERUSER"));
    }
}
