//! `dormouse api-key …`.

use dormouse_api::api_key::CreateApiKey;
use dormouse_api::{ApiKey as Resource, client};

use super::Context;
use crate::args::{Consent, name};
use crate::error::Error;
use crate::ui::{Format, Table, time};

/// List, make and revoke API keys
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApiKey {
    /// List the API keys, without the keys themselves
    List,
    /// Make an API key, and print it; it is not shown again
    Create(Create),
    /// Revoke an API key; it stops working at once
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it is for.
    #[arg(value_parser = name)]
    name: String,

    /// Let it use this project only, by ID or name [default: everything].
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The key, by ID or name.
    #[arg(value_parser = name)]
    key: String,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) async fn run(command: ApiKey, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        ApiKey::List => cx.ui.show(&session.call(client::api_key::list()).await?, |keys| table(keys)),
        ApiKey::Create(args) => {
            let wish = CreateApiKey { key_name: args.name, project_id: args.project };
            let made = session.call(client::api_key::create(&wish)).await?;
            match cx.ui.format() {
                Format::Table => {
                    cx.ui.note(&format!(
                        "Made {} (`{}`). Keep the key: it is not shown again.",
                        made.id, made.name
                    ));
                    cx.ui.text(made.key.expose())
                }
                Format::Json => cx.ui.json_line(&made),
            }
        }
        ApiKey::Delete(args) => {
            let keys = session.call(client::api_key::list()).await?;
            let key = choose(&keys, &args.key)?;
            cx.ui
                .confirm(&format!("Key `{}` ({}) will stop working.", key.name, key.id), args.consent.yes)?;
            let revoked = session.call(client::api_key::delete(&key.id)).await?;
            cx.ui.show(&revoked, |revoked| {
                Table::fields([("Revoked", format!("{} ({})", revoked.name, revoked.id))])
            })
        }
    }
}

fn choose<'a>(keys: &'a [Resource], given: &str) -> Result<&'a Resource, Error> {
    if let Some(key) = keys.iter().find(|key| key.id.as_str() == given) {
        return Ok(key);
    }
    let named: Vec<&Resource> = keys.iter().filter(|key| key.name == given).collect();
    match named.as_slice() {
        [key] => Ok(key),
        [] => Err(Error::not_found(format!("there is no API key `{given}`"))
            .hint("List them with `dormouse api-key list`.")),
        several => Err(Error::usage(format!("{} API keys are named `{given}`", several.len()))
            .hint("Use the ID from `dormouse api-key list`.")),
    }
}

fn table(keys: &[Resource]) -> Table {
    let mut table = Table::list(&["ID", "NAME", "BEGINS WITH", "PROJECT", "CREATED", "LAST USED", "FROM"]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.prefix.clone(),
            key.project_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            time(Some(key.created_at)),
            time(key.last_used_at),
            key.last_used_from_addr.clone(),
        ]);
    }
    table
}
