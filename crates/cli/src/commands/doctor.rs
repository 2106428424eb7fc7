//! `dormouse doctor`: looks at this machine, without a server. The findings come from
//! [`crate::serve`]; how they are shown is here.

use std::path::PathBuf;

use serde::Serialize;

use super::Context;
use crate::error::Error;
use crate::ui::Table;

#[cfg(test)]
mod tests;

/// Check whether this machine can run Dormouse, and how well
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a build with the server examines"))]
pub(crate) struct Doctor {
    /// A PostgreSQL installation that is not in a usual place. Repeatable.
    #[arg(long, value_name = "DIR")]
    pub(crate) pg_dir: Vec<PathBuf>,
}

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only the server crate finds"))]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, but worse than it could.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, such as `postgresql` or `cgroup`.
    pub(crate) area: String,
    /// How good or bad it is.
    pub(crate) level: Level,
    /// What was found.
    pub(crate) what: String,
    /// What to do about it, when something is to be done.
    pub(crate) advice: Option<String>,
}

/// All findings.
#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

pub(crate) fn run(args: Doctor, cx: &Context) -> Result<(), Error> {
    let findings = crate::serve::examine(args, cx)?;
    cx.ui.show(&Findings { findings: findings.clone() }, |all| table(&all.findings))?;
    verdict(&findings)
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::list(&["", "AREA", "FINDING"]);
    for finding in findings {
        table.row([finding.level.name().into(), finding.area.clone(), finding.what.clone()]);
        if let Some(advice) = &finding.advice {
            table.row([" ".into(), " ".into(), format!("→ {advice}")]);
        }
    }
    table
}

/// A machine with a `fail` cannot run Dormouse: exit status 1.
fn verdict(findings: &[Finding]) -> Result<(), Error> {
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        1 => Err(Error::failed("Dormouse cannot work on this machine yet: 1 check failed")),
        count => {
            Err(Error::failed(format!("Dormouse cannot work on this machine yet: {count} checks failed")))
        }
    }
}
