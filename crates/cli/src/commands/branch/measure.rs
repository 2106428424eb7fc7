//! `dormouse branch size`, `history` and `snapshot`: what the store has of a branch.

use dormouse_api::client;

use super::Get;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::ui::{Table, bytes, time};

pub(super) async fn size(args: &Get, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.find(session).await?;
    let reply = session.call(client::branch::get(&place.project.id, &place.branch.id)).await?;
    cx.ui.show(&reply, |reply| {
        let sizes = &reply.branch.sizes;
        let text = |size: Option<u64>| size.map(bytes).unwrap_or_default();
        Table::fields([
            ("Branch", reply.branch.name.clone()),
            ("Files, as PostgreSQL sees them", text(sizes.logical_size)),
            ("Stored for this branch alone", text(sizes.own_size)),
            ("Stored for its past", text(sizes.history_size)),
        ])
    })
}

pub(super) async fn history(args: &Get, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.find(session).await?;
    let reply = session.call(client::branch::get(&place.project.id, &place.branch.id)).await?;
    cx.ui.show(&reply, |reply| {
        let history = reply.branch.history.as_ref();
        Table::fields([
            ("Branch", reply.branch.name.clone()),
            ("Earliest LSN", history.map(|h| h.start.to_string()).unwrap_or_default()),
            ("Earliest time", time(history.and_then(|h| h.start_at))),
            ("Stored up to", history.map(|h| h.stored.to_string()).unwrap_or_default()),
        ])
    })
}

pub(super) async fn snapshot(args: &Get, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.find(session).await?;
    let progress = cx.ui.progress("Storing a snapshot");
    let taken = session.call(client::branch::store(&place.project.id, &place.branch.id)).await?;
    drop(progress);
    cx.ui.show(&taken, |taken| {
        Table::fields([("Branch", place.branch.name.clone()), ("Snapshot at", taken.lsn.to_string())])
    })
}
