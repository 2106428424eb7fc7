//! `dormouse fsck`: proves that every branch can be restored from the store.

use dormouse_api::client;
use dormouse_api::storage::{CheckStorage, StorageChecked};

use super::Context;
use crate::args::{InProject, name};
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, bytes};

/// Check that every branch can be restored from the object store
///
/// Reads everything that the branches need and compares it with its hashes: snapshots, and the
/// write-ahead log from the beginning of each window to its end. Exit status 1 when something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Fsck {
    #[command(flatten)]
    of: InProject,

    /// Only this branch, by ID or name [default: all].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    branch: Option<String>,

    /// Only look for what is missing or too short; read no data.
    #[arg(long)]
    quick: bool,

    /// Also start each branch on a temporary branch and let PostgreSQL check tables and indexes.
    #[arg(long, conflicts_with = "quick")]
    restore: bool,
}

pub(crate) async fn run(args: &Fsck, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let project = args.of.project.as_deref();
    let (project, branch) = if args.branch.is_some() {
        let place = resolve::branch(&session, project, args.branch.as_deref()).await?;
        (Some(place.project.id), Some(place.branch.id))
    } else if project.is_some() {
        (Some(resolve::project(&session, project).await?.id), None)
    } else {
        (None, None)
    };
    let request = CheckStorage {
        project: project.map(|id| id.to_string()),
        branch: branch.map(|id| id.to_string()),
        quick: args.quick,
        restore: args.restore,
    };
    let progress = cx.ui.progress("Checking the store");
    let checked = session.call_patiently(client::storage::check(&request)).await?;
    drop(progress);
    cx.ui.show(&checked, table)?;
    verdict(&checked)
}

fn table(checked: &StorageChecked) -> Table {
    let mut table = if checked.findings.is_empty() {
        Table::fields([
            ("Branches", checked.branches.to_string()),
            ("Objects", checked.objects.to_string()),
            ("Read", bytes(checked.bytes)),
            ("Not needed", format!("{} objects, {}", checked.orphans, bytes(checked.orphan_bytes))),
            ("Problems", String::from("none")),
        ])
    } else {
        let mut table = Table::list(&["PROJECT", "BRANCH", "OBJECT", "PROBLEM"]);
        for finding in &checked.findings {
            let id = || finding.branch_id.as_ref().map(ToString::to_string);
            table.row([
                finding.project_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                finding.branch.clone().or_else(id).unwrap_or_default(),
                finding.object.clone(),
                finding.problem.clone(),
            ]);
        }
        return table;
    };
    for restored in &checked.restored {
        let (databases, tables, indexes) = (restored.databases, restored.tables, restored.indexes);
        let mut text = format!("started; {databases} databases, {tables} tables, {indexes} indexes checked");
        if let Some(note) = &restored.note {
            text = format!("{text}. {note}");
        }
        table.row([format!("{}/{}", restored.project_id, restored.branch), text]);
    }
    table
}

/// Exit status 1 when something is wrong; the first problem is named for those who see nothing else.
fn verdict(checked: &StorageChecked) -> Result<(), Error> {
    let Some(first) = checked.findings.first() else { return Ok(()) };
    let count = checked.findings.len();
    let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
    Err(Error::failed(format!("the check found {problems}, first: {}: {}", first.object, first.problem))
        .hint("Do not collect garbage or delete anything until you know why; see docs/reference/gc.md."))
}

#[cfg(test)]
mod tests {
    use dormouse_api::storage::{RestoredBranch, StorageFinding};

    use super::*;

    #[test]
    fn what_is_wrong_is_shown_and_fails() {
        let finding = StorageFinding {
            project_id: "shop-x".parse().ok(),
            branch_id: "br-a".parse().ok(),
            branch: Some("main".into()),
            object: "projects/shop-x/packs/a.pack".into(),
            problem: "byte 7 is not what was written".into(),
        };
        let bad = StorageChecked { findings: vec![finding], ..StorageChecked::default() };
        insta::assert_snapshot!(table(&bad), @r"
        PROJECT  BRANCH  OBJECT                        PROBLEM
        shop-x   main    projects/shop-x/packs/a.pack  byte 7 is not what was written
        ");
        let error = verdict(&bad).unwrap_err();
        assert!(error.class().status() == 1 && error.to_string().contains("1 problem"), "{error}");
        assert!(verdict(&StorageChecked::default()).is_ok());
    }

    #[test]
    fn what_was_started_is_listed() {
        let restored = RestoredBranch {
            project_id: "shop-x".parse().unwrap(),
            branch_id: "br-a".parse().unwrap(),
            branch: "main".into(),
            databases: 3,
            tables: 90,
            indexes: 100,
            note: None,
        };
        let good = StorageChecked {
            branches: 1,
            objects: 5,
            bytes: 3 << 20,
            restored: vec![restored],
            ..StorageChecked::default()
        };
        insta::assert_snapshot!(table(&good), @r"
        Branches     1
        Objects      5
        Read         3.0 MiB
        Not needed   0 objects, 0 B
        Problems     none
        shop-x/main  started; 3 databases, 90 tables, 100 indexes checked
        ");
    }
}
