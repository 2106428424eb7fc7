//! `dormouse pooler …`: the pooler's settings and its console.

use std::collections::BTreeMap;

use dormouse_api::client;
use dormouse_api::pooler::{Pooler as Settings, PoolerAnswer, PoolerCommand, UpdatePooler};

use super::Context;
use crate::error::Error;
use crate::ui::{Format, Table};

/// Names that settings have in the sections of a `pgbouncer.ini`.
const OTHER_NAMES: [(&str, &str); 2] =
    [("pool_size", "default_pool_size"), ("reserve_pool", "reserve_pool_size")];

/// Look at the connection pools, change their settings, stop and start them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Pooler {
    /// Show the pooler's settings, or change some
    ///
    /// A change holds at once, for clients that are connected too, and after a restart. An empty value goes back
    /// to the default.
    Config(Config),
    /// Show what the console shows
    ///
    /// Such as POOLS, CLIENTS, SERVERS, STATS, DATABASES, USERS, LISTS, CONFIG.
    Show(Show),
    /// Run a command of the console
    ///
    /// Such as `PAUSE`, `RESUME`, `RECONNECT "app@ep-…"`, `KILL_CLIENT 7`.
    Run(Run),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// A setting to show, or to change with `NAME=VALUE` [default: show those that differ from their defaults].
    #[arg(value_name = "NAME[=VALUE]")]
    settings: Vec<String>,

    /// Show all settings.
    #[arg(long, conflicts_with = "settings")]
    all: bool,

    /// Only for the pools of this endpoint.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,

    /// Only for the pools of this database.
    #[arg(long, value_name = "DATABASE")]
    database: Option<String>,

    /// Only for the pools of this role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// What to show.
    what: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The command, in one argument or several.
    #[arg(required = true)]
    command: Vec<String>,
}

pub(crate) async fn run(command: Pooler, cx: &Context) -> Result<(), Error> {
    match command {
        Pooler::Config(args) => config(args, cx).await,
        Pooler::Show(args) => order(format!("SHOW {}", args.what), cx).await,
        Pooler::Run(args) => order(args.command.join(" "), cx).await,
    }
}

async fn config(args: Config, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let (names, changes) = sorted(args.settings);
    let wish = UpdatePooler {
        settings: changes.clone(),
        endpoint: args.endpoint,
        database: args.database,
        role: args.role,
    };
    let mut pooler = if changes.is_empty() {
        session.call(client::pooler::get()).await?
    } else {
        session.call(client::pooler::update(&wish)).await?
    };
    let unknown = names.iter().find(|name| !pooler.settings.iter().any(|known| known.name == **name));
    if let Some(name) = unknown {
        return Err(Error::not_found(format!("there is no setting `{name}`"))
            .hint("List them with `dormouse pooler config --all`."));
    }
    let asked = |name: &String| names.contains(name) || changes.contains_key(name);
    let chosen = !names.is_empty() || !changes.is_empty();
    pooler.settings.retain(|it| match (chosen, args.all) {
        (true, _) => asked(&it.name),
        (false, true) => true,
        (false, false) => it.value != it.default,
    });
    for setting in pooler.settings.iter().filter(|it| chosen && !it.used) {
        cx.ui.note(&format!("{} is accepted, and has no effect in Dormouse.", setting.name));
    }
    keep_layers_of(&mut pooler, &wish, |name| !chosen || asked(name));
    cx.ui.show(&pooler, table)
}

/// Leaves the layers that are for what is named, at least; and only those when something is.
fn keep_layers_of(pooler: &mut Settings, wish: &UpdatePooler, asked: impl Fn(&String) -> bool) {
    let fits = |wanted: &Option<String>, named: &Option<String>| wanted.is_none() || wanted == named;
    for layer in &mut pooler.layers {
        layer.settings.retain(|name, _| asked(name));
    }
    pooler.layers.retain(|layer| {
        let place = fits(&wish.endpoint, &layer.endpoint)
            && fits(&wish.database, &layer.database)
            && fits(&wish.role, &layer.role);
        place && !layer.settings.is_empty()
    });
    if wish.endpoint.is_some() || wish.database.is_some() || wish.role.is_some() {
        pooler.settings.clear();
    }
}

/// Names to show, and changes.
fn sorted(words: Vec<String>) -> (Vec<String>, BTreeMap<String, Option<String>>) {
    let known = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, known)| (*known).to_owned())
    };
    let (mut names, mut changes) = (Vec::new(), BTreeMap::new());
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => {
                changes.insert(known(name), Some(value.to_owned()).filter(|value| !value.is_empty()));
            }
            None => names.push(known(&word)),
        }
    }
    (names, changes)
}

fn table(pooler: &Settings) -> Table {
    let mut table = Table::list(&["SETTING", "VALUE", "DEFAULT", "FOR"]);
    for it in &pooler.settings {
        table.row([it.name.clone(), it.value.clone(), it.default.clone(), String::new()]);
    }
    for layer in &pooler.layers {
        let named = [("endpoint", &layer.endpoint), ("database", &layer.database), ("role", &layer.role)];
        let named = named.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)));
        let place = named.collect::<Vec<_>>().join(", ");
        for (name, value) in &layer.settings {
            table.row([name.clone(), value.clone(), String::new(), place.clone()]);
        }
    }
    table
}

async fn order(command: String, cx: &Context) -> Result<(), Error> {
    let answer = cx.session()?.call(client::pooler::command(&PoolerCommand { command })).await?;
    if let Some(notice) = &answer.notice {
        cx.ui.note(notice);
    }
    if answer.columns.is_empty() && matches!(cx.ui.format(), Format::Table) {
        return Ok(());
    }
    cx.ui.show(&answer, shown)
}

fn shown(answer: &PoolerAnswer) -> Table {
    let rows =
        answer.rows.iter().map(|row| row.iter().map(|cell| cell.clone().unwrap_or_default()).collect());
    Table::of(&answer.columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_or_changes() {
        let words = ["A", "b=1", "c=", "d=x=y", "pool_size=2"].map(str::to_owned).to_vec();
        let (names, changes) = sorted(words);
        assert_eq!(names, ["a"]);
        let value = |name: &str| changes[name].as_deref();
        assert_eq!((value("b"), value("c"), value("d")), (Some("1"), None, Some("x=y")));
        assert_eq!(value("default_pool_size"), Some("2"));
    }
}
