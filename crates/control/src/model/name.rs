//! Which names are allowed.
//!
//! PostgreSQL itself takes nearly everything in a quoted identifier. What is refused here is what
//! would collide with PostgreSQL's or our own names, or be read as a route by the proxy (§7.1 of the
//! design: a database name with `@` names a branch, the database `dormouse` is the proxy's console).

use super::Refused;

/// The longest role or database name, bytes: PostgreSQL cuts longer ones off silently.
pub const MAX_SQL_NAME: usize = 63;
/// The longest project, branch or key name, bytes.
pub const MAX_LABEL: usize = 256;
/// The superuser inside every compute; never visible in the API.
pub const ADMIN_ROLE: &str = "dormouse_admin";
/// Databases that every cluster has and the API does not show.
pub const HIDDEN_DATABASES: [&str; 3] = ["postgres", "template0", "template1"];
/// The database name that the proxy answers itself.
pub const CONSOLE_DATABASE: &str = "dormouse";

fn sql_name(what: &str, name: &str) -> Result<(), Refused> {
    let bad = |why: String| Err(Refused::new("bad-name", why));
    if name.is_empty() {
        return bad(format!("the {what} name is empty: give it at least one character"));
    }
    if name.len() > MAX_SQL_NAME {
        return bad(format!(
            "the {what} name is {} bytes long: PostgreSQL allows {MAX_SQL_NAME}",
            name.len()
        ));
    }
    if name.contains('\0') {
        return bad(format!("the {what} name contains a NUL byte: remove it"));
    }
    if name.starts_with("pg_") {
        return bad(format!("the {what} name `{name}` starts with `pg_`, which PostgreSQL keeps for itself"));
    }
    Ok(())
}

/// Checks a role name.
///
/// # Errors
/// When PostgreSQL or Dormouse cannot have a role of that name.
pub fn role(name: &str) -> Result<(), Refused> {
    sql_name("role", name)?;
    if [ADMIN_ROLE, "public", "none", "current_user", "session_user", "current_role"].contains(&name) {
        return Err(Refused::new(
            "bad-name",
            format!("the role name `{name}` is reserved: choose another one"),
        ));
    }
    Ok(())
}

/// Checks a database name.
///
/// # Errors
/// When PostgreSQL or the proxy's routing cannot have a database of that name.
pub fn database(name: &str) -> Result<(), Refused> {
    sql_name("database", name)?;
    if name.contains('@') {
        return Err(Refused::new(
            "bad-name",
            format!(
                "the database name `{name}` contains `@`, which separates database and branch: leave it out"
            ),
        ));
    }
    if name == CONSOLE_DATABASE || HIDDEN_DATABASES.contains(&name) {
        return Err(Refused::new(
            "bad-name",
            format!("the database name `{name}` is reserved: choose another one"),
        ));
    }
    Ok(())
}

/// Checks the name of a project, branch or API key.
///
/// # Errors
/// When it is empty, too long, has control characters, or could be taken for a path or an ID.
pub fn label(what: &str, name: &str) -> Result<(), Refused> {
    let why = if name.trim().is_empty() {
        "is empty: give it at least one character".to_owned()
    } else if name.len() > MAX_LABEL {
        format!("is {} bytes long: at most {MAX_LABEL} are allowed", name.len())
    } else if name.chars().any(char::is_control) {
        "contains a control character: remove it".to_owned()
    } else {
        return Ok(());
    };
    Err(Refused::new("bad-name", format!("the {what} name {why}")))
}

/// Checks a branch name: a label that cannot be taken for a branch ID or part of a route.
///
/// # Errors
/// As for [`label`], and for names that start with `br-` or contain `@` or `/`.
pub fn branch(name: &str) -> Result<(), Refused> {
    label("branch", name)?;
    if name.starts_with("br-") || name.contains('@') {
        return Err(Refused::new(
            "bad-name",
            format!(
                "the branch name `{name}` starts with `br-` or contains `@`: both have a meaning of their own"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for name in ["app_owner", "Ünï cödé", "a\"b;drop", "x", &"n".repeat(63)] {
            assert_eq!(role(name), Ok(()), "{name}");
            assert_eq!(database(name), Ok(()), "{name}");
        }
        assert!(branch("feature/login").is_ok());
    }

    #[test]
    fn bad_names_are_refused_with_a_reason() {
        for name in ["", "pg_read_all_data", "dormouse_admin", "a\0b", "public", &"n".repeat(64)] {
            assert_eq!(role(name).unwrap_err().code, "bad-name", "{name}");
        }
        for name in ["app@main", "dormouse", "postgres", "template1", "pg_x"] {
            assert!(database(name).is_err(), "{name}");
        }
        for name in ["", "  ", "br-x", "a@b", "line\nbreak"] {
            assert!(branch(name).is_err(), "{name:?}");
        }
    }
}
