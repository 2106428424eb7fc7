//! What `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET` have set. No dump of one database has it.
//!
//! The target decides what its owner may set. What it refuses stays behind and is named, and so are settings of
//! roles that do not come along.

use serde::Deserialize;

use super::psql::{ident, literal};

/// They name files and tablespaces of the source's machine; a library that is missing here would keep everybody
/// out.
const OF_THE_MACHINE: [&str; 4] =
    ["local_preload_libraries", "session_preload_libraries", "default_tablespace", "temp_tablespaces"];

/// Their values are lists of names, kept as they are written in SQL.
const LISTS: [&str; 1] = ["search_path"];

/// Settings in one database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Settings {
    /// Whose; `None` = everybody's.
    role: Option<String>,
    /// `name=value`.
    values: Vec<String>,
}

/// All of a database; an expression of JSON.
pub(super) const QUESTION: &str = "(SELECT coalesce(json_agg(json_build_object('role', r.rolname, 'values', s.setconfig) \
     ORDER BY r.rolname NULLS FIRST), '[]') FROM pg_catalog.pg_db_role_setting s \
     JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
     WHERE d.datname = current_database())";

/// One setting, and the statement for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// For people.
    pub(super) shown: String,
    /// The statement; or why there is none.
    pub(super) sql: Result<String, &'static str>,
}

/// What is to be done in the target's `database`, where only these roles come along.
pub(super) fn steps(all: &[Settings], database: &str, roles: &[&str]) -> Vec<Step> {
    let each = |settings: &Settings| {
        let role = settings.role.clone();
        let comes = role.as_deref().is_none_or(|role| roles.contains(&role));
        let values = settings.values.clone();
        values.into_iter().filter_map(move |text| {
            let (name, value) = text.split_once('=')?;
            let sql = if OF_THE_MACHINE.contains(&name) {
                Err("it belongs to the source's machine")
            } else if comes {
                Ok(statement(database, role.as_deref(), name, value))
            } else {
                Err("the role does not come along")
            };
            let whose = role.as_deref().map(|role| format!(" of role `{role}`")).unwrap_or_default();
            Some(Step { shown: format!("setting `{name}`{whose}"), sql })
        })
    };
    all.iter().flat_map(each).collect()
}

fn statement(database: &str, role: Option<&str>, name: &str, value: &str) -> String {
    let database = ident(database);
    let whose = match role {
        Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", ident(role)),
        None => format!("ALTER DATABASE {database}"),
    };
    let value = if LISTS.contains(&name) {
        names(value).iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
    } else {
        literal(value)
    };
    format!("{whose} SET {} TO {value}", ident(name))
}

/// The names in `"$user", public`; an empty list is one empty name.
fn names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let (mut quoted, mut rest) = (false, list.chars().peekable());
    while let Some(c) = rest.next() {
        let last = names.last_mut().expect("it begins with one");
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => last.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(String::new()),
            c if !quoted && c.is_whitespace() => {}
            c => last.push(c),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        assert_eq!(names(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(names(r#""a ""b"", c",d"#), [r#"a "b", c"#, "d"]);
        assert_eq!(names(""), [""]);
    }

    #[test]
    fn what_comes_along_and_what_does_not() {
        let all = r#"[
            {"role": null, "values": ["TimeZone=Asia/Tokyo", "search_path=\"$user\", it's", "app.x=a=b\\c",
                "local_preload_libraries=x"]},
            {"role": "ann", "values": ["work_mem=1MB"]},
            {"role": "zoe", "values": ["work_mem=2MB"]}]"#;
        let steps = steps(&serde_json::from_str::<Vec<Settings>>(all).unwrap(), "d\"b", &["ann"]);
        let said: Vec<String> = steps
            .into_iter()
            .map(|step| step.sql.unwrap_or_else(|why| format!("{}: {why}", step.shown)))
            .collect();
        assert_eq!(
            said,
            [
                r#"ALTER DATABASE "d""b" SET "TimeZone" TO 'Asia/Tokyo'"#,
                r#"ALTER DATABASE "d""b" SET "search_path" TO '$user', 'it''s'"#,
                r#"ALTER DATABASE "d""b" SET "app.x" TO  E'a=b\\c'"#,
                "setting `local_preload_libraries`: it belongs to the source's machine",
                r#"ALTER ROLE "ann" IN DATABASE "d""b" SET "work_mem" TO '1MB'"#,
                "setting `work_mem` of role `zoe`: the role does not come along",
            ]
        );
    }
}
