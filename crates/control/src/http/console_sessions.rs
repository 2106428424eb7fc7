//! Browsers that are signed in: which there are, and the end of one.
//!
//! Who may use everything sees all of them; who is bound to a project, those that are bound to the same one. A session of
//! a key for everything is nothing that they may end.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use dormouse_api::console::{ConsoleSessionEnded, ConsoleSessions, SignedIn};
use dormouse_base::clock;

use super::console::token_of;
use super::error::Error;
use crate::control::Control;
use crate::db::sessions::{self, Listed};
use crate::identity::{Caller, session};

/// `GET /console_sessions`.
pub(super) async fn list(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Json<ConsoleSessions>, Error> {
    let all = alive(&control, &caller)?;
    Ok(Json(ConsoleSessions { sessions: all.into_iter().map(|it| show(it, &headers)).collect() }))
}

/// `DELETE /console_sessions/{session_id}`.
pub(super) async fn end(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ConsoleSessionEnded>, Error> {
    let missing = || Error::not_found("session", "session-not-found", &named);
    let found = alive(&control, &caller)?.into_iter().find(|it| session::id(&it.hash) == named);
    let found = found.ok_or_else(missing)?;
    let hash = found.hash.clone();
    if !control.foundation.db.write("end a session", move |db| sessions::delete(db, &hash)).await? {
        return Err(missing());
    }
    Ok(Json(ConsoleSessionEnded { session: show(found, &headers) }))
}

/// Those that go on, and that the caller may end.
fn alive(control: &Control, caller: &Caller) -> Result<Vec<Listed>, Error> {
    let now = clock::now();
    let mut all = control.foundation.db.read("list sessions", sessions::all)?;
    all.retain(|it| {
        it.session.is_alive(now) && (caller.project.is_none() || it.session.project == caller.project)
    });
    Ok(all)
}

fn show(Listed { hash, session, created_at, browser }: Listed, headers: &HeaderMap) -> SignedIn {
    SignedIn {
        id: session::id(&hash),
        name: session.name,
        key_id: session.key,
        project_id: session.project,
        created_at,
        last_used_at: session.used_at,
        expires_at: session.expires_at,
        last_used_from_addr: browser.from,
        user_agent: browser.agent,
        current: token_of(headers).is_some_and(|token| session::hash(&token) == hash),
    }
}
