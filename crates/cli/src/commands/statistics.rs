//! `dormouse statistics`: what was measured, period by period.

use dormouse_api::client;
use dormouse_api::statistics::{
    By, Datapoint, Metric, MetricList, Series, Statistic, Statistics, StatisticsQuery, Unit,
};
use dormouse_base::Timestamp;

use super::Context;
use crate::args::name;
use crate::error::Error;
use crate::moment::Moment;
use crate::resolve;
use crate::ui::{Table, bytes, time};

/// Show what was measured: CPU, size, connections, memory, storage, cold starts, waits, cost
///
/// Of an endpoint, a project or the whole server, for the last 15 days. Periods without a sample are left out:
/// nothing ran. `--list` explains the metrics.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Metrics, by name [default: all].
    #[arg(value_name = "METRIC")]
    metrics: Vec<String>,

    /// List what is measured.
    #[arg(long, conflicts_with_all = ["metrics", "endpoint", "project", "from", "to", "period", "each"])]
    list: bool,

    /// Of this endpoint, by ID or the name of its branch.
    #[arg(long, value_name = "ENDPOINT", value_parser = name)]
    endpoint: Option<String>,

    /// Of this project, by ID or name [default: the whole server].
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,

    /// For each endpoint on its own.
    #[arg(long, conflicts_with = "endpoint")]
    each: bool,

    /// From when, such as `2h` or a time [default: an hour before the end].
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,

    /// Until when [default: now].
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,

    /// The length of a period in seconds: 10, or a multiple of 60 [default: one that gives at most 360 of them].
    #[arg(long, value_name = "SECONDS")]
    period: Option<u32>,

    /// Which statistic: average, minimum, maximum, sum, p50, p95, p99 [default: all].
    #[arg(long = "statistic", value_name = "STATISTIC")]
    statistics: Vec<String>,
}

pub(crate) async fn run(args: Arguments, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    if args.list {
        return cx.ui.show(&session.call(client::statistics::metrics()).await?, metrics);
    }
    let (endpoint_id, project_id) = match (&args.endpoint, &args.project) {
        (Some(endpoint), project) => {
            let found = resolve::endpoint(&session, project.as_deref(), Some(endpoint)).await?;
            (Some(found.id.to_string()), None)
        }
        (None, Some(project)) => {
            (None, Some(resolve::project(&session, Some(project)).await?.id.to_string()))
        }
        (None, None) => (None, None),
    };
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    let query = StatisticsQuery {
        metrics: list(&args.metrics),
        endpoint_id,
        project_id,
        by: args.each.then_some(By::Endpoint),
        from: moment(args.from, "--from")?,
        to: moment(args.to, "--to")?,
        period: args.period,
        statistics: list(&args.statistics),
    };
    let wanted = args.statistics;
    cx.ui.show(&session.call(client::statistics::get(&query)).await?, |all| table(all, &wanted))
}

fn moment(given: Option<Moment>, option: &str) -> Result<Option<Timestamp>, Error> {
    match given {
        None => Ok(None),
        Some(moment) => match moment.time() {
            Some(at) => Ok(Some(at)),
            None => Err(Error::usage(format!("{option} is a time, not a position in the WAL"))
                .hint("Give one like `2h` or `2026-01-02T03:04:05Z`.")),
        },
    }
}

fn metrics(list: &MetricList) -> Table {
    let mut table = Table::list(&["METRIC", "UNIT", "WHAT"]);
    for it in &list.metrics {
        table.row([it.name.to_string(), unit(it.unit).to_owned(), it.description.clone()]);
    }
    table
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "percent",
        Unit::Cu => "CU",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::PerHour => "per hour",
        Unit::Milliseconds => "ms",
        Unit::UsdPerHour => "$ per hour",
    }
}

fn table(all: &Statistics, wanted: &[String]) -> Table {
    let shown: Vec<Statistic> = Statistic::ALL
        .into_iter()
        .filter(|statistic| wanted.is_empty() || wanted.iter().any(|name| name == statistic.name()))
        .collect();
    let names: Vec<String> = shown.iter().map(|statistic| statistic.name().to_uppercase()).collect();
    let mut heads: Vec<String> = ["METRIC", "OF", "TIME", "SAMPLES"].map(str::to_owned).into();
    heads.extend(names);
    let mut rows = Vec::new();
    for series in &all.series {
        for point in &series.datapoints {
            let mut row = vec![
                series.metric.to_string(),
                of(series),
                time(Some(point.timestamp)),
                point.sample_count.to_string(),
            ];
            row.extend(shown.iter().map(|statistic| cell(series.metric, *statistic, point)));
            rows.push(row);
        }
    }
    Table::of(&heads, rows)
}

fn of(series: &Series) -> String {
    match (&series.endpoint_id, &series.project_id) {
        (Some(endpoint), _) => endpoint.to_string(),
        (None, Some(project)) => project.to_string(),
        (None, None) => "server".to_owned(),
    }
}

fn cell(metric: Metric, statistic: Statistic, point: &Datapoint) -> String {
    let value = match statistic {
        Statistic::Average => point.average,
        Statistic::Minimum => point.minimum,
        Statistic::Maximum => point.maximum,
        Statistic::Sum => point.sum,
        Statistic::P50 => point.p50,
        Statistic::P95 => point.p95,
        Statistic::P99 => point.p99,
    };
    value.map(|value| figure(metric.unit(), value)).unwrap_or_default()
}

/// A figure for people, with its unit where the column does not say it.
pub(super) fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Percent => format!("{value:.1} %"),
        Unit::Cu => format!("{value:.2}"),
        Unit::Count => format!("{value:.1}"),
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size is neither negative nor huge"
        )]
        Unit::Bytes => bytes(value.max(0.0) as u64),
        Unit::PerHour => format!("{value:.1} /h"),
        Unit::Milliseconds => format!("{value:.1} ms"),
        Unit::UsdPerHour => format!("${value:.4} /h"),
    }
}
