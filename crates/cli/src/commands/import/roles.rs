//! `--roles`: the source's roles, made through the API, so that ownership and rights can be kept.
//!
//! Passwords do not come along: only a superuser could read them, and the server keeps its own. A role
//! that can log in gets a new password, which `dormouse role reveal` tells. Superusers do not come
//! along: what belongs to them belongs to the owner.

use super::psql::{Psql, ident};
use super::source::Party;
use super::target::Target;
use crate::error::Error;

/// The roles to make, from the parties of all databases.
pub(super) fn wanted<'a>(parties: impl Iterator<Item = &'a Party>) -> Vec<&'a Party> {
    let mut all: Vec<&Party> = parties.filter(|party| !party.superuser).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup();
    all
}

/// Makes those that are not there. Returns the names of those that were made.
pub(super) async fn make(target: &Target, wanted: &[&Party]) -> Result<Vec<String>, Error> {
    let there = target.roles().await?;
    let mut made = Vec::new();
    for party in wanted.iter().filter(|party| !there.contains(&party.name)) {
        target.make_role(&party.name, party.login).await?;
        made.push(party.name.clone());
    }
    Ok(made)
}

/// Whoever is to own something must be allowed to create it in its place; for the time of the
/// restore, `given` says.
pub(super) async fn may_create(
    session: &mut Psql,
    database: &str,
    wanted: &[&Party],
    given: bool,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = wanted.iter().map(|party| ident(&party.name)).collect();
    let (names, database) = (names.join(", "), ident(database));
    let sql = if given {
        format!("GRANT CREATE ON DATABASE {database} TO {names}; GRANT CREATE ON SCHEMA public TO {names}")
    } else {
        format!(
            "REVOKE CREATE ON DATABASE {database} FROM {names}; REVOKE CREATE ON SCHEMA public FROM {names}"
        )
    };
    session.rows(&sql).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superusers_stay_where_they_are() {
        let party = |name: &str, superuser| Party { name: name.into(), login: true, superuser };
        let all = [party("zoe", false), party("postgres", true), party("ann", false), party("zoe", false)];
        let names: Vec<&str> = wanted(all.iter()).iter().map(|party| party.name.as_str()).collect();
        assert_eq!(names, ["ann", "zoe"]);
    }
}
