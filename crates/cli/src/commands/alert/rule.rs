//! `dormouse alert rule …`.

use dormouse_api::alert::{Comparison, CreateRule, Each, Rule as Resource, RuleTested, Scope, UpdateRule};
use dormouse_api::client;
use dormouse_api::statistics::{Metric, Statistic};
use serde::de::DeserializeOwned;

use super::{deliveries, of};
use crate::args::{Consent, name};
use crate::commands::Context;
use crate::commands::statistics::figure;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Format, Table};

/// Make, change, remove and try rules
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Rule {
    /// Make a rule
    Create(Create),
    /// Change a rule, or switch it on and off
    Update(Update),
    /// Remove a rule; one of the server's own is as at the start again
    Delete(Delete),
    /// Show what a rule says now, and tell every webhook, marked as a test
    Test(Test),
}

/// What both of them take.
#[derive(Debug, clap::Args)]
pub(crate) struct Lines {
    /// Which statistic: average, minimum, maximum, sum, p50, p95, p99.
    #[arg(long, value_name = "STATISTIC", value_parser = word::<Statistic>)]
    statistic: Option<Statistic>,

    /// The length of a period in seconds: 10, 60, 300 or 3600.
    #[arg(long, value_name = "SECONDS")]
    period: Option<u32>,

    /// So many periods in a row must agree.
    #[arg(long, value_name = "NUMBER")]
    datapoints: Option<u32>,

    /// Broken by more (`>`) or by less (`<`).
    #[arg(long, value_name = "SIGN", value_parser = word::<Comparison>)]
    comparison: Option<Comparison>,

    /// How far back a figure has to be to count as left, such as 0.95.
    #[arg(long, value_name = "RATIO")]
    clear_ratio: Option<f64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// For people.
    #[arg(value_parser = name)]
    name: String,

    /// What is looked at; `dormouse statistics --list` explains them.
    #[arg(long, value_name = "METRIC", value_parser = word::<Metric>)]
    metric: Metric,

    /// Beyond it: warning.
    #[arg(long, value_name = "FIGURE", required_unless_present = "critical")]
    warning: Option<f64>,

    /// Beyond it: critical.
    #[arg(long, value_name = "FIGURE")]
    critical: Option<f64>,

    /// Only this project, by ID or name.
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,

    /// Only this endpoint, by ID or the name of its branch.
    #[arg(long, value_name = "ENDPOINT", value_parser = name)]
    endpoint: Option<String>,

    /// What has a state of its own: endpoint, project or server.
    #[arg(long, value_name = "WHAT", value_parser = word::<Each>)]
    each: Option<Each>,

    #[command(flatten)]
    lines: Lines,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// The rule, by ID or name.
    #[arg(value_parser = name)]
    rule: String,

    /// Another name.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// Beyond it: warning; `none` = no such threshold.
    #[arg(long, value_name = "FIGURE", value_parser = threshold)]
    warning: Option<Threshold>,

    /// Beyond it: critical; `none` = no such threshold.
    #[arg(long, value_name = "FIGURE", value_parser = threshold)]
    critical: Option<Threshold>,

    /// Look at it.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Do not look at it any more.
    #[arg(long)]
    disable: bool,

    #[command(flatten)]
    lines: Lines,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The rule, by ID or name.
    #[arg(value_parser = name)]
    rule: String,

    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The rule, by ID or name.
    #[arg(value_parser = name)]
    rule: String,
}

/// A figure, or none.
#[derive(Debug, Clone, Copy)]
struct Threshold(Option<f64>);

fn threshold(text: &str) -> Result<Threshold, String> {
    match text {
        "none" => Ok(Threshold(None)),
        _ => text
            .parse()
            .map(|figure| Threshold(Some(figure)))
            .map_err(|_| "give a number, or `none`".to_owned()),
    }
}

/// A word of the API.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| error.to_string())
}

pub(super) async fn list(cx: &Context) -> Result<(), Error> {
    let rules = cx.session()?.call(client::alert::rules()).await?;
    cx.ui.show(&rules, |all| table(&all.rules))
}

pub(super) async fn run(command: Rule, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Rule::Create(args) => {
            let rule = session.call(client::alert::create_rule(&wish(args, cx).await?)).await?;
            cx.ui.show(&rule, |it| table(std::slice::from_ref(&it.rule)))
        }
        Rule::Update(args) => {
            let rule = find(&args.rule, cx).await?;
            let wish = UpdateRule {
                name: args.name,
                statistic: args.lines.statistic,
                period_seconds: args.lines.period,
                datapoints: args.lines.datapoints,
                comparison: args.lines.comparison,
                warning: args.warning.map(|it| it.0),
                critical: args.critical.map(|it| it.0),
                clear_ratio: args.lines.clear_ratio,
                enabled: if args.enable { Some(true) } else { args.disable.then_some(false) },
            };
            let rule = session.call(client::alert::update_rule(rule.id.as_str(), &wish)).await?;
            cx.ui.show(&rule, |it| table(std::slice::from_ref(&it.rule)))
        }
        Rule::Delete(args) => {
            let rule = find(&args.rule, cx).await?;
            let what = if rule.default { "be as at the start again" } else { "be removed" };
            cx.ui.confirm(&format!("Rule `{}` ({}) will {what}.", rule.name, rule.id), args.consent.yes)?;
            let rule = session.call(client::alert::delete_rule(rule.id.as_str())).await?;
            cx.ui.show(&rule, |it| table(std::slice::from_ref(&it.rule)))
        }
        Rule::Test(args) => {
            let rule = find(&args.rule, cx).await?;
            let tested = session.call(client::alert::test_rule(rule.id.as_str())).await?;
            tell(&rule, &tested, cx)
        }
    }
}

fn tell(rule: &Resource, tested: &RuleTested, cx: &Context) -> Result<(), Error> {
    if cx.ui.format() == Format::Json {
        return cx.ui.json_line(tested);
    }
    if tested.subjects.is_empty() {
        cx.ui.note("Nothing was measured in the last complete period.");
    }
    let mut table = Table::list(&["OF", "VALUE", "ALONE WOULD BE"]);
    for subject in &tested.subjects {
        let value = subject.value.map(|it| figure(rule.unit, it)).unwrap_or_default();
        table.row([of(&subject.scope), value, subject.state.to_string()]);
    }
    cx.ui.text(&table.to_string())?;
    cx.ui.text(&deliveries(&tested.deliveries).to_string())
}

async fn wish(args: Create, cx: &Context) -> Result<CreateRule, Error> {
    let session = cx.session()?;
    let endpoint = match &args.endpoint {
        Some(it) => Some(resolve::endpoint(&session, args.project.as_deref(), Some(it)).await?),
        None => None,
    };
    let project_id = match (&endpoint, &args.project) {
        (Some(endpoint), _) => Some(endpoint.project_id.clone()),
        (None, Some(project)) => Some(resolve::project(&session, Some(project)).await?.id),
        (None, None) => None,
    };
    Ok(CreateRule {
        name: args.name,
        metric: args.metric,
        statistic: args.lines.statistic,
        period_seconds: args.lines.period,
        datapoints: args.lines.datapoints,
        comparison: args.lines.comparison,
        warning: args.warning,
        critical: args.critical,
        clear_ratio: args.lines.clear_ratio,
        scope: Some(Scope { project_id, endpoint_id: endpoint.map(|it| it.id) }),
        each: args.each,
        enabled: None,
    })
}

async fn find(given: &str, cx: &Context) -> Result<Resource, Error> {
    let all = cx.session()?.call(client::alert::rules()).await?.rules;
    if let Some(rule) = all.iter().find(|rule| rule.id.as_str() == given) {
        return Ok(rule.clone());
    }
    let named: Vec<&Resource> = all.iter().filter(|rule| rule.name == given).collect();
    match named.as_slice() {
        [rule] => Ok((*rule).clone()),
        [] => Err(Error::not_found(format!("there is no alert rule `{given}`"))
            .hint("List them with `dormouse alert rules`.")),
        several => Err(Error::usage(format!("{} alert rules are named `{given}`", several.len()))
            .hint("Use the ID from `dormouse alert rules`.")),
    }
}

fn table(rules: &[Resource]) -> Table {
    let mut table = Table::list(&[
        "ID",
        "NAME",
        "METRIC",
        "STATISTIC",
        "PERIODS",
        "WARNING",
        "CRITICAL",
        "OF",
        "ENABLED",
    ]);
    for rule in rules {
        let sign = match rule.comparison {
            Comparison::Above => ">",
            Comparison::Below => "<",
        };
        let line =
            |at: Option<f64>| at.map(|at| format!("{sign} {}", figure(rule.unit, at))).unwrap_or_default();
        let each = match (rule.each, &rule.scope.endpoint_id, &rule.scope.project_id) {
            (Each::Server, ..) => "server".to_owned(),
            (_, Some(endpoint), _) => endpoint.to_string(),
            (Each::Endpoint, None, Some(project)) => format!("each endpoint of {project}"),
            (Each::Project, None, Some(project)) => format!("project {project}"),
            (Each::Endpoint, None, None) => "each endpoint".to_owned(),
            (Each::Project, None, None) => "each project".to_owned(),
        };
        table.row([
            rule.id.to_string(),
            rule.name.clone(),
            rule.metric.to_string(),
            rule.statistic.name().to_owned(),
            format!("{} × {} s", rule.datapoints, rule.period_seconds),
            line(rule.warning),
            line(rule.critical),
            each,
            if rule.enabled { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}
