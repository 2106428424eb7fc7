//! `dormouse recover`: a new data directory from nothing but a store. What it prints is here; doing it is in
//! [`crate::serve`].

use serde::Serialize;

use super::Context;
use crate::error::Error;
use crate::ui::Table;

/// Make a new data directory from an object store, when the old one is lost
///
/// No server may run on the data directory, and it must not have metadata yet. Projects, branches, endpoint IDs,
/// roles and their passwords come back as they were; API keys do not, and passwords cannot be shown any more.
/// Nothing in the store is changed, so trying again does no harm. The old server must not run any more.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a build with the server recovers"))]
pub(crate) struct Recover {
    /// The object store: `s3://bucket/prefix`, `gs://…`, `az://…` or `file:///path`.
    #[arg(long, value_name = "URL", env = "DORMOUSE_STORE")]
    pub(crate) store: String,
}

/// What came back. Scripts read it: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Recovered {
    /// The projects.
    pub(crate) projects: Vec<Project>,
    /// What did not come back, or not as it was.
    pub(crate) problems: Vec<Problem>,
}

/// A project that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Project {
    /// Its ID.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// PostgreSQL major version.
    pub(crate) pg_version: u16,
    /// Its branches.
    pub(crate) branches: Vec<Branch>,
}

/// A branch that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Branch {
    /// Its ID.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its endpoints.
    pub(crate) endpoints: Vec<String>,
    /// The newest point that the store has; `null` = none.
    pub(crate) restorable_lsn: Option<String>,
}

/// Something that did not come back, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Of what.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

pub(crate) fn run(args: &Recover, cx: &Context) -> Result<(), Error> {
    let progress = cx.ui.progress("Reading the store");
    let recovered = crate::serve::recover(args, cx)?;
    drop(progress);
    cx.ui.show(&recovered, table)?;
    for problem in &recovered.problems {
        cx.ui.note(&format!("problem: {}: {}", problem.what, problem.why));
    }
    cx.ui.note(&format!("Start the server with `dormouse up --store {}`.", args.store));
    Ok(())
}

fn table(recovered: &Recovered) -> Table {
    let mut table = Table::list(&["PROJECT", "NAME", "PG", "BRANCH", "ENDPOINT", "RESTORABLE UP TO"]);
    for project in &recovered.projects {
        for branch in &project.branches {
            table.row([
                project.id.clone(),
                project.name.clone(),
                project.pg_version.to_string(),
                branch.name.clone(),
                branch.endpoints.join(", "),
                branch.restorable_lsn.clone().unwrap_or_else(|| "nothing".to_owned()),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_without_data_stands_out() {
        let branch = |name: &str, lsn: Option<&str>| Branch {
            id: format!("br-{name}"),
            name: name.into(),
            endpoints: vec![format!("ep-{name}")],
            restorable_lsn: lsn.map(str::to_owned),
        };
        let branches = vec![branch("main", Some("0/3000000")), branch("dev", None)];
        let project = Project { id: "shop-x".into(), name: "shop".into(), pg_version: 18, branches };
        let recovered = Recovered { projects: vec![project], problems: Vec::new() };
        insta::assert_snapshot!(table(&recovered), @r"
        PROJECT  NAME  PG  BRANCH  ENDPOINT  RESTORABLE UP TO
        shop-x   shop  18  main    ep-main   0/3000000
        shop-x   shop  18  dev     ep-dev    nothing
        ");
    }
}
