//! One database from there to here: pg_dump into the scratch directory, pg_restore out of it.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::failures::{Failure, Failures};
use super::order::Order;
use super::program::{self, Login};
use super::source::Contents;
use super::tools::Tools;
use crate::error::Error;
use crate::ui::{Bar, Ui};

/// How both programs are run.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    pub(super) ui: Ui,
    pub(super) tools: &'a Tools,
    pub(super) jobs: u16,
    pub(super) schema_only: bool,
    /// Ownership and rights are kept.
    pub(super) roles: bool,
    /// Where the dump goes; does not exist yet.
    pub(super) dump: &'a Path,
}

impl Transfer<'_> {
    /// Dumps what `snapshot` sees.
    pub(super) async fn dump(
        &self,
        from: &Login,
        contents: &Contents,
        snapshot: &str,
        shown: &str,
    ) -> Result<(), Error> {
        let mut command = from.command(&self.tools.program("pg_dump"));
        command.args([
            "--format=directory",
            "--compress=1",
            "--no-sync",
            "--verbose",
            "--no-subscriptions",
            "--no-tablespaces",
        ]);
        command.arg(format!("--jobs={}", self.jobs)).arg(format!("--snapshot={snapshot}"));
        command.arg("--file").arg(self.dump);
        if contents.encoding != "SQL_ASCII" {
            command.arg("--encoding=UTF8");
        }
        if self.schema_only {
            command.arg("--schema-only");
        }
        let bar = self.ui.bar(&format!("Reading {shown}"), contents.bytes());
        let (ok, (notes, mut fatal)) = self.watch(command, contents, "pg_dump", &bar).await?;
        drop(bar);
        fatal.extend(notes);
        match fatal.first() {
            None if ok => Ok(()),
            first => {
                let why = first.map_or_else(|| "pg_dump failed".to_owned(), Failure::shown);
                Err(Error::failed(format!("cannot read the source's database {shown}: {why}"))
                    .hint("The login must be able to read all of it: use the owner, a member of pg_read_all_data, or a superuser."))
            }
        }
    }

    /// Restores the dump, in the order of [`Order`]. Returns what stays behind and what failed.
    pub(super) async fn restore(
        &self,
        to: &Login,
        contents: &Contents,
        shown: &str,
    ) -> Result<(Vec<Failure>, Vec<Failure>), Error> {
        let bar = self.ui.bar(&format!("Writing {shown}"), contents.bytes());
        let order = self.order().await?;
        let (mut notes, mut fatal) = (Vec::new(), Vec::new());
        let behind = ["--section=data", "--section=post-data"];
        for (sections, list, jobs) in [
            (&["--section=pre-data"][..], None, 1),
            (&behind, Some(("together", order.together)), self.jobs),
            (&behind, Some(("apart", order.apart)), 1),
        ] {
            let mut command = to.command(&self.tools.program("pg_restore"));
            command.args(["--format=directory", "--verbose", "--no-subscriptions", "--no-tablespaces"]);
            command.args(sections).arg(format!("--jobs={jobs}"));
            if !self.roles {
                command.args(["--no-owner", "--no-privileges"]);
            }
            if let Some((name, entries)) = list {
                if entries.is_empty() {
                    continue;
                }
                let file = self.dump.join(format!("{name}.list"));
                fs::write(&file, entries).map_err(cannot_write(&file))?;
                command.arg("--use-list").arg(file);
            }
            command.arg(self.dump);
            let (stays, failed) = self.watch(command, contents, "pg_restore", &bar).await?.1;
            notes.extend(stays);
            fatal.extend(failed);
        }
        Ok((notes, fatal))
    }

    /// Reads the dump's table of contents.
    async fn order(&self) -> Result<Order, Error> {
        let file = self.dump.join("contents.list");
        let mut command = tokio::process::Command::new(self.tools.program("pg_restore"));
        command.args(["--format=directory", "--list", "--file"]).arg(&file).arg(self.dump);
        command.env("LC_ALL", "C").kill_on_drop(true).stdin(Stdio::null());
        let mut said = String::new();
        let status = program::run(command, |line| line.clone_into(&mut said)).await?;
        if !status.success() {
            return Err(Error::failed(format!("cannot list what was dumped: {said}")));
        }
        let list = fs::read(&file)
            .map_err(|error| Error::failed(format!("cannot read {}", file.display())).because(error))?;
        Ok(Order::of(&String::from_utf8_lossy(&list)))
    }

    async fn watch(
        &self,
        command: tokio::process::Command,
        contents: &Contents,
        name: &str,
        bar: &Bar,
    ) -> Result<(bool, (Vec<Failure>, Vec<Failure>)), Error> {
        let (mut flow, mut failures) = (Flow::new(contents, self.jobs), Failures::default());
        let status = program::run(command, |line| {
            failures.line(line);
            flow.line(line, bar);
        })
        .await?;
        Ok((status.success(), failures.finish(status.success(), name)))
    }
}

fn cannot_write(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::failed(format!("cannot write {}", path.display())).because(error)
}

/// How far it is. The programs say when they begin with a table; it is done when as many others have
/// begun after it as there are jobs.
#[derive(Debug)]
struct Flow {
    sizes: HashMap<String, u64>,
    begun: VecDeque<u64>,
    jobs: usize,
}

impl Flow {
    fn new(contents: &Contents, jobs: u16) -> Self {
        let sizes = contents.tables.iter().map(|table| (bare(&table.shown()), table.bytes)).collect();
        Self { sizes, begun: VecDeque::new(), jobs: usize::from(jobs) }
    }

    fn line(&mut self, line: &str, bar: &Bar) {
        if let Some((table, done)) = self.begins(line) {
            bar.advance(done, table);
        }
    }

    /// The table that a line says has begun, and the bytes that are done because of that.
    fn begins<'a>(&mut self, line: &'a str) -> Option<(&'a str, u64)> {
        let table = line
            .strip_prefix("pg_dump: dumping contents of table \"")
            .or_else(|| line.strip_prefix("pg_restore: processing data for table \""))?;
        let table = table.strip_suffix('"').unwrap_or(table);
        self.begun.push_back(self.sizes.get(&bare(table)).copied().unwrap_or(0));
        let done = if self.begun.len() > self.jobs { self.begun.pop_front() } else { None };
        Some((table, done.unwrap_or(0)))
    }
}

/// The programs quote some names; without quotes they can be compared.
fn bare(name: &str) -> String {
    name.replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::super::source::Relation;
    use super::*;

    #[test]
    fn progress_follows_the_programs_words() {
        let table = |name: &str, bytes| Relation {
            schema: "public".into(),
            name: name.into(),
            bytes,
            materialized: false,
        };
        let contents = Contents {
            tables: vec![table("a", 10), table("B c", 20), table("d", 40)],
            ..Contents::default()
        };
        let mut flow = Flow::new(&contents, 1);
        let mut read = |line: &str| flow.begins(line).map(|(table, done)| (table.to_owned(), done));
        assert_eq!(read("pg_dump: reading schemas"), None);
        assert_eq!(read("pg_dump: dumping contents of table \"public.a\""), Some(("public.a".into(), 0)));
        assert_eq!(
            read("pg_dump: dumping contents of table \"public.\"B c\"\""),
            Some(("public.\"B c\"".into(), 10))
        );
        assert_eq!(read("pg_restore: processing data for table \"public.d\""), Some(("public.d".into(), 20)));
    }
}
