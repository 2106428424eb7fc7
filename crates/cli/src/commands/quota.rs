//! `dormouse quota …`: how much a project may use.

use std::str::FromStr;

use dormouse_api::client;
use dormouse_api::quota::{Action, Limit, Measure, Period, Quotas, SOFT_PERCENT, SetQuotas};

use super::Context;
use crate::args::InProject;
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// Limit what a project may use
///
/// Measures: `active_seconds`, `cu_seconds`, `storage_bytes`, `egress_bytes`, `written_bytes`, `spend`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Quota {
    /// Show the limits of a project, and how much of them is used
    Get(Get),
    /// Set some limits of a project
    ///
    /// Other limits stay as they are. A limit that suspends stops the project's endpoints when it is reached, and
    /// clients are refused with SQLSTATE 53400 until the period ends or the limit is raised.
    Set(Set),
    /// Take limits of a project away
    Unset(Unset),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// What is limited, and how much there may be in a period, such as `active_seconds=36000`.
    #[arg(required = true, value_name = "MEASURE=LIMIT")]
    limits: Vec<Wish>,

    /// Suspend the project when a limit is reached [default: only say so].
    #[arg(long, conflicts_with = "alert")]
    suspend: bool,

    /// Only say so when a limit is reached.
    #[arg(long)]
    alert: bool,

    /// When it is said that a limit comes near, per cent of it [default: 80].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    soft: Option<u8>,

    /// When counting begins anew, for all limits of the project [default: as it is; month at first].
    #[arg(long, value_name = "PERIOD")]
    period: Option<Every>,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Unset {
    /// What is not limited any more.
    #[arg(required_unless_present = "all", value_name = "MEASURE", value_parser = measure)]
    measures: Vec<Measure>,

    /// Nothing is limited any more.
    #[arg(long, conflicts_with = "measures")]
    all: bool,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Every {
    /// With each month.
    Month,
    /// With each day.
    Day,
    /// Never.
    None,
}

impl From<Every> for Period {
    fn from(every: Every) -> Self {
        match every {
            Every::Month => Self::Month,
            Every::Day => Self::Day,
            Every::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    measure: Measure,
    limit: f64,
}

fn measure(text: &str) -> Result<Measure, String> {
    Measure::parse(text).ok_or_else(|| {
        let all = Measure::ALL.map(Measure::name).join(", ");
        format!("`{text}` cannot be limited: there are {all}")
    })
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, limit) = text.split_once('=').ok_or("write it like active_seconds=36000")?;
        let number = limit.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
        let limit = number.ok_or_else(|| format!("`{limit}` is not a limit: use a number above zero"))?;
        Ok(Self { measure: measure(name)?, limit })
    }
}

pub(crate) async fn run(command: Quota, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let of = match &command {
        Quota::Get(args) => &args.of,
        Quota::Set(args) => &args.of,
        Quota::Unset(args) => &args.of,
    };
    let project = resolve::project(&session, of.project.as_deref()).await?.id;
    let known = session.call(client::quota::get(project.as_str())).await?;
    let wish = match command {
        Quota::Get(_) => return cx.ui.show(&known, table),
        Quota::Set(args) => with(wanted(&known), &args),
        Quota::Unset(args) => without(wanted(&known), &args),
    };
    let done = put(&session, project.as_str(), &wish).await?;
    cx.ui.show(&done, table)
}

async fn put(session: &Session, project: &str, wish: &SetQuotas) -> Result<Quotas, Error> {
    session.call(client::quota::set(project, wish)).await
}

/// What was wanted so far.
fn wanted(known: &Quotas) -> SetQuotas {
    let limit = |quota: &dormouse_api::quota::Quota| Limit {
        measure: quota.measure,
        limit: quota.limit,
        soft_percent: quota.soft_percent,
        action: quota.action,
    };
    SetQuotas { period: known.period, quotas: known.quotas.iter().map(limit).collect() }
}

fn with(mut wish: SetQuotas, args: &Set) -> SetQuotas {
    wish.period = args.period.map_or(wish.period, Period::from);
    for Wish { measure, limit } in &args.limits {
        let before = wish.quotas.iter().position(|known| known.measure == *measure);
        let before = before.map(|at| wish.quotas.remove(at));
        let action = match (args.suspend, args.alert) {
            (true, _) => Action::Suspend,
            (_, true) => Action::Alert,
            _ => before.map(|known| known.action).unwrap_or_default(),
        };
        let soft_percent =
            args.soft.or_else(|| before.map(|known| known.soft_percent)).unwrap_or(SOFT_PERCENT);
        wish.quotas.push(Limit { measure: *measure, limit: *limit, soft_percent, action });
    }
    wish
}

fn without(mut wish: SetQuotas, args: &Unset) -> SetQuotas {
    wish.quotas.retain(|known| !args.all && !args.measures.contains(&known.measure));
    wish
}

fn table(quotas: &Quotas) -> Table {
    let mut table = Table::list(&["MEASURE", "USED", "LIMIT", "SOFT", "ACTION", "STATE", "RESETS"]);
    for quota in &quotas.quotas {
        let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        table.row([
            quota.measure.name().to_owned(),
            number(quota.used),
            number(quota.limit),
            format!("{} %", quota.soft_percent),
            word(serde_json::to_value(quota.action).unwrap_or_default()),
            word(serde_json::to_value(quota.state).unwrap_or_default()),
            quota.resets_at.map_or_else(|| "never".to_owned(), |at| time(Some(at))),
        ]);
    }
    table
}

/// Without a fraction where there is none.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_kept() {
        let wish: Wish = "spend=12.5".parse().unwrap();
        assert_eq!((wish.measure, wish.limit), (Measure::Spend, 12.5));
        for bad in ["spend", "spend=0", "spend=x", "spend=inf", "time=5"] {
            assert!(bad.parse::<Wish>().is_err(), "{bad}");
        }
        let args = |limit: &str, suspend| Set {
            limits: vec![limit.parse().unwrap()],
            suspend,
            alert: false,
            soft: None,
            period: None,
            of: InProject { project: None },
        };
        let one = with(SetQuotas::default(), &args("active_seconds=60", true));
        let two = with(one, &args("spend=5", false));
        let raised = with(two, &args("active_seconds=120", false));
        assert_eq!(raised.quotas.len(), 2);
        let active = raised.quotas.iter().find(|limit| limit.measure == Measure::ActiveSeconds).unwrap();
        assert_eq!((active.limit, active.action), (120.0, Action::Suspend), "it still suspends");
        let gone = Unset { measures: vec![Measure::Spend], all: false, of: InProject { project: None } };
        assert_eq!(without(raised, &gone).quotas.len(), 1);
    }
}
