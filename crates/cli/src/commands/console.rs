//! `dormouse console`: a link that signs a browser in.

use dormouse_api::client;

use super::Context;
use crate::error::Error;
use crate::ui::Format;

/// Print a link that opens the console and signs in
///
/// The link works once, within 15 minutes; the browser then stays signed in. Who has it can do what your API key can.
#[derive(Debug, clap::Args)]
pub(crate) struct Console {}

pub(crate) async fn run(_: &Console, cx: &Context) -> Result<(), Error> {
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
