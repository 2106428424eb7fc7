//! `dormouse endpoint update`: how large an endpoint may be, when it sleeps, and its PostgreSQL settings.

use std::collections::BTreeMap;

use dormouse_api::client;
use dormouse_api::endpoint::{EndpointPatch, EndpointSettings, UpdateEndpoint};

use super::size::Size;
use super::{Which, fields};
use crate::args::name;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::timeout::Timeout;

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    which: Which,

    /// Idle time before it sleeps, such as 5m; 0 = the server's default, -1 = never.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    suspend_timeout: Option<Timeout>,

    /// How long it stays paused before it stops; 0 = never pause, -1 = stay paused.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    pause_timeout: Option<Timeout>,

    #[command(flatten)]
    size: Size,

    /// A PostgreSQL setting, such as work_mem=16MB; takes effect at the next start. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,

    /// Remove a PostgreSQL setting. Repeatable.
    #[arg(long, value_name = "NAME", value_parser = name)]
    unset: Vec<String>,
}

pub(super) async fn run(args: &Update, session: &Session, cx: &Context) -> Result<(), Error> {
    let endpoint = args.which.find(session).await?;
    let size = args.size.wishes();
    let patch = EndpointPatch {
        suspend_timeout_seconds: args.suspend_timeout.map(|timeout| timeout.0),
        pause_timeout_seconds: args.pause_timeout.map(|timeout| timeout.0),
        autoscaling_limit_min_cu: size.min_cu,
        autoscaling_limit_max_cu: size.max_cu,
        keep_warm: size.keep_warm,
        prewarm: size.prewarm,
        settings: new_settings(args, &endpoint.settings.pg_settings),
        ..EndpointPatch::default()
    };
    if patch == EndpointPatch::default() {
        return Err(Error::usage("there is nothing to change").hint("See `dormouse endpoint update --help`."));
    }
    let call =
        client::endpoint::update(&endpoint.project_id, &endpoint.id, &UpdateEndpoint { endpoint: patch });
    cx.ui.show(&session.call(call).await?, |changed| fields(&changed.endpoint))
}

/// The API replaces all settings at once, so the present ones go along.
fn new_settings(args: &Update, present: &BTreeMap<String, String>) -> Option<EndpointSettings> {
    if args.set.is_empty() && args.unset.is_empty() {
        return None;
    }
    let mut settings = present.clone();
    settings.retain(|name, _| !args.unset.contains(name));
    settings.extend(args.set.iter().cloned());
    Some(EndpointSettings { pg_settings: settings })
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        update: Update,
    }

    #[test]
    fn settings_are_merged() {
        let present = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let line = |words: &[&str]| Line::try_parse_from([&["x"], words].concat()).unwrap().update;
        assert_eq!(new_settings(&line(&["--suspend-timeout", "-1"]), &present), None);
        let changed =
            new_settings(&line(&["--set", "c=x=y", "--unset", "a", "--set", "b=3"]), &present).unwrap();
        let expected = [("b", "3"), ("c", "x=y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(changed.pg_settings, BTreeMap::from(expected));
        assert!(setting("=1").is_err() && setting("work_mem").is_err());
    }
}
