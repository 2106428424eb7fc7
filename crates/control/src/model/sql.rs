//! SQL text for roles and databases. Every name and value goes through [`ident`] or [`literal`];
//! nothing else in this crate quotes.

use dormouse_api::database::LocaleProvider;

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

/// `CREATE DATABASE` with its owner, and the locale if it has one of its own. Then the template is the one that
/// PostgreSQL lets be copied with another locale, because nothing in it is sorted.
#[must_use]
pub fn create_database(database: &Database) -> String {
    let mut sql = format!("CREATE DATABASE {} OWNER {}", ident(&database.name), ident(&database.owner));
    let Some(locale) = &database.locale else { return sql };
    let (provider, name) = match locale.provider {
        LocaleProvider::Libc => ("libc", "LOCALE"),
        LocaleProvider::Icu => ("icu", "ICU_LOCALE"),
        LocaleProvider::Builtin => ("builtin", "BUILTIN_LOCALE"),
    };
    sql.push_str(" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER ");
    sql.push_str(provider);
    let options = [
        (name, &locale.name),
        ("LC_COLLATE", &locale.lc_collate),
        ("LC_CTYPE", &locale.lc_ctype),
        ("ICU_RULES", &locale.icu_rules),
    ];
    for (option, value) in options {
        if let Some(value) = value {
            sql.push_str(&format!(" {option} {}", literal(value)));
        }
    }
    sql
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
    fn a_locale_of_its_own() {
        let at = dormouse_base::Timestamp::UNIX_EPOCH;
        let mut database = Database {
            id: 1,
            branch_id: dormouse_base::BranchId::generate(),
            name: "d".into(),
            owner: "o".into(),
            pending: None,
            rename_from: None,
            locale: None,
            created_at: at,
            updated_at: at,
        };
        assert_eq!(create_database(&database), "CREATE DATABASE \"d\" OWNER \"o\"");
        for (locale, wanted) in [
            (
                r#"{"provider": "icu", "name": "de'x", "icu_rules": "&a<b"}"#,
                "icu ICU_LOCALE 'de''x' ICU_RULES '&a<b'",
            ),
            (
                r#"{"provider": "libc", "lc_collate": "C", "lc_ctype": "x"}"#,
                "libc LC_COLLATE 'C' LC_CTYPE 'x'",
            ),
            (r#"{"provider": "builtin", "name": "C"}"#, "builtin BUILTIN_LOCALE 'C'"),
        ] {
            database.locale = Some(serde_json::from_str(locale).unwrap());
            let all = format!(
                "CREATE DATABASE \"d\" OWNER \"o\" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER {wanted}"
            );
            assert_eq!(create_database(&database), all);
        }
    }

    #[test]
    fn memberships_follow_the_version() {
        assert!(!grant_owner("o", 15, false).contains("pg_create_subscription"));
        assert!(grant_owner("o", 17, false).contains("pg_maintain"));
        assert!(grant_owner("o", 15, false).contains("NOSUPERUSER"));
        assert!(grant_owner("o", 15, true).contains(" SUPERUSER"));
    }
}
