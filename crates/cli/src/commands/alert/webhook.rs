//! `dormouse alert webhook …`.

use dormouse_api::alert::{CreateWebhook, Webhook as Resource};
use dormouse_api::client;

use super::{deliveries, state};
use crate::args::{Consent, name};
use crate::commands::Context;
use crate::error::Error;
use crate::ui::{Format, Table, time};

/// Say who is told of changes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Webhook {
    /// List who is told, and how the last notice went
    List,
    /// Have changes posted to a URL, and print the secret that they are signed with; it is not shown again
    Create(Create),
    /// Tell a URL no more
    Delete(Delete),
    /// Post a notice that is marked as a test
    Test(Test),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Where to, such as https://example.com/hooks/dormouse
    #[arg(value_parser = name)]
    url: String,

    /// For people [default: the URL's host].
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The webhook, by ID or name.
    #[arg(value_parser = name)]
    webhook: String,

    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The webhook, by ID or name.
    #[arg(value_parser = name)]
    webhook: String,
}

pub(super) async fn run(command: Webhook, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Webhook::List => {
            let all = session.call(client::alert::webhooks()).await?;
            cx.ui.show(&all, |all| table(&all.webhooks))
        }
        Webhook::Create(args) => {
            let wish = CreateWebhook { name: args.name, url: args.url };
            let made = session.call(client::alert::create_webhook(&wish)).await?;
            match cx.ui.format() {
                Format::Table => {
                    cx.ui.note(&format!(
                        "Made {} (`{}`). Keep the secret: it is not shown again.",
                        made.webhook.id, made.webhook.name
                    ));
                    cx.ui.text(made.secret.expose())
                }
                Format::Json => cx.ui.json_line(&made),
            }
        }
        Webhook::Delete(args) => {
            let hook = find(&args.webhook, cx).await?;
            let question = format!("`{}` ({}) will not be told any more.", hook.name, hook.id);
            cx.ui.confirm(&question, args.consent.yes)?;
            let gone = session.call(client::alert::delete_webhook(hook.id.as_str())).await?;
            cx.ui.show(&gone, |gone| {
                Table::fields([("Removed", format!("{} ({})", gone.webhook.name, gone.webhook.id))])
            })
        }
        Webhook::Test(args) => {
            let hook = find(&args.webhook, cx).await?;
            let tested = session.call(client::alert::test_webhook(hook.id.as_str())).await?;
            cx.ui.show(&tested, |tested| deliveries(std::slice::from_ref(&tested.delivery)))
        }
    }
}

async fn find(given: &str, cx: &Context) -> Result<Resource, Error> {
    let all = cx.session()?.call(client::alert::webhooks()).await?.webhooks;
    if let Some(hook) = all.iter().find(|hook| hook.id.as_str() == given) {
        return Ok(hook.clone());
    }
    let named: Vec<&Resource> = all.iter().filter(|hook| hook.name == given).collect();
    match named.as_slice() {
        [hook] => Ok((*hook).clone()),
        [] => Err(Error::not_found(format!("there is no webhook `{given}`"))
            .hint("List them with `dormouse alert webhook list`.")),
        several => Err(Error::usage(format!("{} webhooks are named `{given}`", several.len()))
            .hint("Use the ID from `dormouse alert webhook list`.")),
    }
}

fn table(hooks: &[Resource]) -> Table {
    let mut table = Table::list(&["ID", "NAME", "URL", "WAITING", "LAST", "AT", "WHY"]);
    for hook in hooks {
        let last = hook.last_delivery.as_ref();
        table.row([
            hook.id.to_string(),
            hook.name.clone(),
            hook.url.clone(),
            hook.pending.to_string(),
            last.map(|it| state(it.state).to_owned()).unwrap_or_default(),
            time(last.map(|it| it.at)),
            last.and_then(|it| it.error.clone()).unwrap_or_default(),
        ]);
    }
    table
}
