//! `dormouse console …`: a link that signs a browser in, and the browsers that are.

use dormouse_api::client;
use dormouse_api::console::SignedIn;

use super::Context;
use crate::args::{Consent, name};
use crate::error::Error;
use crate::ui::{Format, Table, time};

/// Print a link that opens the console and signs in
///
/// By itself it prints the link, which works once, within 15 minutes; the browser then stays signed in. Who has it can do what your API key can.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Console {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the browsers that are signed in
    Sessions,
    /// Sign a browser out
    End(End),
}

#[derive(Debug, clap::Args)]
struct End {
    /// The session, by ID; `dormouse console sessions` lists them.
    #[arg(value_parser = name)]
    session: String,

    #[command(flatten)]
    consent: Consent,
}

pub(crate) async fn run(args: &Console, cx: &Context) -> Result<(), Error> {
    match &args.command {
        None => link(cx).await,
        Some(Command::Sessions) => {
            let listed = cx.session()?.call(client::console::sessions()).await?;
            cx.ui.show(&listed, |listed| table(&listed.sessions))
        }
        Some(Command::End(args)) => {
            let question = format!("The browser with the session {} is signed out.", args.session);
            cx.ui.confirm(&question, args.consent.yes)?;
            let ended = cx.session()?.call(client::console::end(&args.session)).await?;
            cx.ui.show(&ended, |ended| {
                Table::fields([("Ended", format!("{} ({})", ended.session.id, ended.session.name))])
            })
        }
    }
}

async fn link(cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let link = session.call(client::console::link()).await?;
    match cx.ui.format() {
        Format::Table => cx.ui.text(&session.console(link.code.expose())),
        Format::Json => cx.ui.json_line(&serde_json::json!({
            "url": session.console(link.code.expose()),
            "expires_at": link.expires_at,
        })),
    }
}

fn table(sessions: &[SignedIn]) -> Table {
    let mut table = Table::list(&["ID", "API KEY", "SIGNED IN", "LAST USED", "FROM", "ENDS", "BROWSER"]);
    for one in sessions {
        table.row([
            one.id.clone(),
            one.name.clone(),
            time(Some(one.created_at)),
            time(Some(one.last_used_at)),
            one.last_used_from_addr.clone(),
            time(Some(one.expires_at)),
            one.user_agent.clone(),
        ]);
    }
    table
}
