//! What a new project gets when the request leaves things open.

use dormouse_base::{ProjectId, rand};

/// The name of the first branch.
pub const BRANCH: &str = "main";
/// The name of the first database; also the database that templates are built with.
pub const DATABASE: &str = "app";
/// The role that templates are built with. Other names are made by renaming, which is cheap.
pub const TEMPLATE_OWNER: &str = "app_owner";
/// The project that a first start makes.
pub const PROJECT: &str = "default";
/// The PostgreSQL major version for new projects, if it is installed; else the newest found.
pub const PG_VERSION: u16 = 18;
/// Length of generated passwords, characters (5.9 bits each).
pub const PASSWORD_LEN: usize = 24;
/// How far back history is kept, seconds (7 days).
pub const HISTORY_RETENTION_SECONDS: i64 = 604_800;
/// PostgreSQL's `max_connections` for a compute.
pub const MAX_CONNECTIONS: u32 = 100;
/// Libraries that every project preloads where they are installed, because `CREATE EXTENSION` alone
/// does not make them work. (Costs about 2 ms a start.)
pub const PRELOAD: [&str; 1] = ["pg_stat_statements"];
/// Compute units of an endpoint, lower end.
pub const MIN_CU: f64 = 0.25;
/// Compute units of an endpoint, upper end.
pub const MAX_CU: f64 = 2.0;

/// The default owner of a database: `<db>_owner`, cut so that it stays a legal name.
#[must_use]
pub fn owner_of(database: &str) -> String {
    let room = super::name::MAX_SQL_NAME - "_owner".len();
    let mut end = database.len().min(room);
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_owner", &database[..end])
}

/// A name for a project whose maker gave none: two words and a random tail.
#[must_use]
pub fn project_name() -> String {
    ProjectId::generate().to_string()
}

/// A fresh password.
#[must_use]
pub fn password() -> String {
    rand::token(PASSWORD_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_name_is_always_legal() {
        assert_eq!(owner_of("app"), TEMPLATE_OWNER);
        let long = "ü".repeat(31);
        assert!(owner_of(&long).len() <= super::super::name::MAX_SQL_NAME);
        assert!(super::super::name::role(&owner_of(&long)).is_ok());
    }
}
