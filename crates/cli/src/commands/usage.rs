//! `dormouse usage`: what was used.

use dormouse_api::client;
use dormouse_api::usage::{Granularity, Query, Report, Totals};
use dormouse_base::{BranchId, Timestamp};

use super::Context;
use crate::args::name;
use crate::error::Error;
use crate::moment::Moment;
use crate::resolve;
use crate::ui::{Table, bytes};

/// Show what was used: time, size, storage, traffic
///
/// By branch, or with --by period by period. Storage and history are means over the time. Times are UTC. Without --from, --to and --month: this month up to now.
/// Branches and projects that were deleted are still told; name a project by ID, a branch by ID or its last name.
#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// Only this branch, by ID or name.
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    branch: Option<String>,

    /// From here: a time, or a past such as -7d.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Moment>,

    /// Up to here [default: now].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<Moment>,

    /// A whole month.
    #[arg(long, value_name = "YYYY-MM", conflicts_with_all = ["from", "to"], value_parser = month)]
    month: Option<(Timestamp, Timestamp)>,

    /// Hour by hour, day by day or month by month.
    #[arg(long, value_name = "PERIOD")]
    by: Option<By>,

    /// Only this project, by ID or name.
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,
}

/// The length of a period.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    /// Of the last 35 days.
    Hour,
    /// Of the last 400 days.
    Day,
    /// Of the last ten years.
    Month,
}

impl From<By> for Granularity {
    fn from(by: By) -> Self {
        match by {
            By::Hour => Self::Hour,
            By::Day => Self::Day,
            By::Month => Self::Month,
        }
    }
}

/// The first moment of a month, and that of the next.
pub(crate) fn month(text: &str) -> Result<(Timestamp, Timestamp), String> {
    let wrong = || format!("`{text}` is not a month: write it like 2026-11");
    let (year, month) = text.split_once('-').ok_or_else(wrong)?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return Err(wrong());
    }
    let (year, month): (i32, u32) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let start = |year: i32, month: u32| format!("{year:04}-{month:02}-01T00:00:00Z").parse::<Timestamp>();
    Ok((start(year, month).map_err(|_| wrong())?, start(next_year, next).map_err(|_| wrong())?))
}

pub(crate) async fn run(args: Usage, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let moment = |at: Option<Moment>| match at.map(Moment::time) {
        Some(None) => Err(Error::usage("a position is no time: write it like 2026-11-26T05:40:00Z, or -7d")),
        time => Ok(time.flatten()),
    };
    let (from, to) = match args.month {
        Some((from, to)) => (Some(from), Some(to)),
        None => (moment(args.from)?, moment(args.to)?),
    };
    let mut project = args.project;
    if project.is_none() && args.branch.as_ref().is_some_and(|branch| branch.parse::<BranchId>().is_err()) {
        // The server does not guess in which project a name is meant.
        project = Some(resolve::project(&session, None).await?.id.to_string());
    }
    let query = Query {
        from,
        to,
        granularity: args.by.map(Granularity::from),
        project_id: project,
        branch_id: args.branch,
    };
    let report = session.call(client::usage::report(&query)).await?;
    cx.ui.show(&report, table)
}

const COLUMNS: [&str; 9] =
    ["ACTIVE", "CU HOURS", "PAUSED", "STORAGE", "HISTORY", "OUT", "IN", "QUERIES", "WAKES"];

fn header<'a>(first: &[&'a str]) -> Vec<&'a str> {
    [first, &COLUMNS].concat()
}

fn table(report: &Report) -> Table {
    // Means are over the time that is known.
    let hours = report.to.duration_since(report.from.max(report.known_since)).as_secs_f64() / 3600.0;
    if report.granularity.is_some() {
        let mut table = Table::list(&header(&["FROM"]));
        for period in &report.periods {
            let (start, end) = (period.start.max(report.known_since), period.end.min(report.to));
            let hours = end.duration_since(start).as_secs_f64() / 3600.0;
            let [a, b, c, d, e, f, g, h, i] = cells(&period.totals, hours);
            table.row([period.start.to_string(), a, b, c, d, e, f, g, h, i]);
        }
        return table;
    }
    let mut table = Table::list(&header(&["PROJECT", "BRANCH"]));
    for branch in &report.branches {
        let project = report.projects.iter().find(|project| project.project_id == branch.project_id);
        let project = project.map(|project| project.name.clone()).unwrap_or_default();
        let name = if branch.deleted { format!("{} (deleted)", branch.name) } else { branch.name.clone() };
        let [a, b, c, d, e, f, g, h, i] = cells(&branch.totals, hours);
        table.row([project, name, a, b, c, d, e, f, g, h, i]);
    }
    let [a, b, c, d, e, f, g, h, i] = cells(&report.totals, hours);
    table.row(["total".to_owned(), String::new(), a, b, c, d, e, f, g, h, i]);
    table
}

fn cells(totals: &Totals, hours: f64) -> [String; 9] {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "byte-hours are not negative")]
    let mean = |byte_hours: f64| bytes(if hours > 0.0 { (byte_hours / hours) as u64 } else { 0 });
    [
        time(totals.active_seconds),
        format!("{:.3}", totals.cu_seconds / 3600.0),
        time(totals.paused_seconds),
        mean(totals.storage_byte_hours),
        mean(totals.history_byte_hours),
        bytes(totals.egress_bytes),
        bytes(totals.ingress_bytes),
        totals.queries.to_string(),
        totals.wakes.to_string(),
    ]
}

/// Such as `26h 03m 20s`.
fn time(seconds: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far below 2^63"
    )]
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds:02}s"),
        _ => format!("{hours}h {minutes:02}m {seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_whole() {
        let (from, to) = month("2026-12").unwrap();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("2026-12-01T00:00:00Z".into(), "2027-01-01T00:00:00Z".into())
        );
        for wrong in ["2026-13", "2026-00", "12", "x-y", "2026-1", "+026-01", "-2026-01", "2147483647-12"] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0.4, 59.6, 3599.0, 93_800.0].map(time), ["0s", "1m 00s", "59m 59s", "26h 03m 20s"]);
    }
}
