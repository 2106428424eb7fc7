//! The operator's console: PgBouncer's, on the port that clients use.
//!
//! ```text
//!   login to `dormouse` or `pgbouncer`, without a route
//!        │ admit: API key
//!        ▼
//!   serve: bytes ─► pooler::admin::Console ─► Command ─► Desk ─► pools
//!                                          ◄─ Reply   ◄─┘
//! ```
//!
//! What can be said, and how it looks, is `dormouse_pooler::admin`'s. Here is who may ([`admit`]), what is done
//! ([`desk`]), what is shown ([`rows`]), and how settings change and stay ([`settings`]). [`Pooler`] is the same
//! desk for the rest of the product: the API and its command line.
//!
//! Where the next change goes: a command in [`desk`], a column in [`rows`], a number for `/metrics` in [`metrics`].

mod admit;
mod desk;
mod metrics;
mod names;
mod operators;
mod rows;
mod settings;
mod standin;
mod takeover;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::EndpointId;
use dormouse_pgwire::backend::{AuthenticationOk, ReadyForQuery, TxStatus};
use dormouse_pgwire::{ClientError, Encode, frame};
use dormouse_pooler::admin::{Action, Command, Console, Reply, parse, welcome};

pub(crate) use admit::{Admin, admit, admit_operator, admit_proved, asks_for};
pub(crate) use metrics::PoolMetrics;
pub(crate) use operators::Operators;
pub use settings::{ChangeError, Setting};

use crate::census::EndpointCensus;
use crate::session::io::Client;
use crate::session::{End, Shared, help};
use desk::Desk;

/// The version of PgBouncer whose console this is.
pub(crate) const VERSION: &str = "1.25.2";

/// What the version is called, here and on the command line.
#[must_use]
pub fn version() -> String {
    format!("PgBouncer {VERSION} (Dormouse {})", env!("CARGO_PKG_VERSION"))
}

/// The longest message that the console takes, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// Speaks with an operator until it leaves.
pub(crate) async fn serve(shared: &Arc<Shared>, client: &mut Client, mut admin: Admin) -> Result<(), End> {
    let journal = admin.journal.take();
    let ended = converse(shared, client, admin).await;
    if let Some(journal) = journal.filter(|_| shared.pools.settings().log_disconnections) {
        journal.closing(match &ended {
            Ok(()) => "client close request",
            Err(End::Refuse(error)) => &error.message,
            Err(End::Passed(_) | End::Quiet(_)) => "client unexpected eof",
        });
    }
    ended
}

async fn converse(shared: &Arc<Shared>, client: &mut Client, mut admin: Admin) -> Result<(), End> {
    tracing::info!(user = admin.name, peer = %admin.peer, "console opened");
    let present = Operators::enter(shared, &mut admin, &client.stream);
    let mut out = AuthenticationOk.encode();
    welcome(VERSION, &mut out);
    ReadyForQuery(TxStatus::Idle).encode_into(&mut out);
    client.send(&out).await?;
    let (desk, mut console) = (Desk::new(shared), Console::new(admin.may_change, admin.width));
    let mut asking = takeover::Asking::new(shared, present.number);
    loop {
        let (tag, body) = message(client).await?;
        out.clear();
        let action = console.message(tag, &body, &mut out).map_err(|error| protocol(&error))?;
        match action {
            Action::None => {}
            Action::Close => return Ok(()),
            Action::Run(command) => {
                shared.operators.commanded();
                asking.asked(&command);
                if command.needs_admin() {
                    tracing::info!(user = admin.name, peer = %admin.peer, "{}", issued(&command));
                }
                if let Command::Takeover { clients } = command {
                    // The answer's first byte goes along with the sockets.
                    console.answer(Ok(Reply::Done), &mut out);
                    match takeover::hand_over(shared, client, out[0], clients).await {
                        Ok(()) => client.send(&out[1..]).await?,
                        Err(error) => return Err(error.client_error().into()),
                    }
                    continue;
                }
                let answer = if waits(&command) {
                    tokio::select! {
                        answer = desk.run(command) => answer,
                        () = client.left(MAX_MESSAGE) => return Ok(()),
                    }
                } else {
                    desk.run(command).await
                };
                console.answer(answer, &mut out);
            }
        }
        client.send(&out).await?;
    }
}

/// A command in PgBouncer's log, in its words.
fn issued(command: &Command) -> String {
    let name = match command {
        Command::Pause(name)
        | Command::Resume(name)
        | Command::Reconnect(name)
        | Command::Kill(name)
        | Command::WaitClose(name) => name.clone(),
        Command::Disable(name) | Command::Enable(name) => Some(name.clone()),
        Command::KillClient(id) => Some(id.to_string()),
        Command::Show(show) => Some(show.word().to_owned()),
        _ => None,
    };
    // On one line, whatever it has in it.
    let name = name.map(|name| format!(" '{}'", name.escape_debug())).unwrap_or_default();
    format!("{}{name} command issued", command.tag().escape_debug())
}

/// Whether a command may take as long as clients like.
fn waits(command: &Command) -> bool {
    matches!(command, Command::Pause(_) | Command::WaitClose(_) | Command::Suspend)
}

async fn message(client: &mut Client) -> Result<(u8, Bytes), End> {
    loop {
        if let Some(frame) = frame::take(&mut client.unread, MAX_MESSAGE).map_err(|error| protocol(&error))? {
            return Ok((frame.tag, frame.body));
        }
        client.fill().await?;
    }
}

fn protocol(error: &dyn std::error::Error) -> End {
    ClientError::protocol_violation(error.to_string()).with_hint(help("protocol-violation")).into()
}

/// The pooler, for the rest of the product.
#[derive(Clone)]
pub struct Pooler(Arc<Shared>);

impl std::fmt::Debug for Pooler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pooler")
    }
}

/// What a command is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Rows.
    Table {
        /// Their columns.
        columns: Vec<&'static str>,
        /// A cell for each; `None` is null.
        rows: Vec<Vec<Option<String>>>,
    },
    /// It is done, and perhaps there is something to say.
    Done(Option<String>),
}

impl Pooler {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// All settings, by name.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        settings::all(&self.0.pools.settings(), self.0.upstream.is_some())
    }

    /// Clients, logins and waits by endpoint; durations are those since the last call.
    #[must_use]
    pub fn census(&self) -> HashMap<EndpointId, EndpointCensus> {
        let pools = self.0.pools.list();
        let pools = pools.iter().map(|pool| (pool.key.endpoint.clone(), pool.census()));
        self.0.census.take(self.0.pools.traffic().sessions(), pools)
    }

    /// How many backends an endpoint's clients have or share.
    #[must_use]
    pub fn backends(&self, endpoint: &EndpointId) -> usize {
        self.0.pools.traffic().sessions_of(endpoint) + self.0.pools.backends(endpoint)
    }

    /// How many clients of each of these endpoints wait for a backend, in their order. Takes microseconds for a
    /// thousand pools.
    #[must_use]
    pub fn waiting(&self, endpoints: &[EndpointId]) -> Vec<u32> {
        self.0.pools.waiting(endpoints)
    }

    /// Changes settings, all or none; `None` means the default. They are kept, and hold at once.
    ///
    /// # Errors
    /// When one cannot be set like this, or they cannot be kept.
    pub async fn change(&self, changes: &[(String, Option<String>)]) -> Result<(), ChangeError> {
        settings::change(&self.0, changes).await
    }

    /// What [`Wake::pool_settings`](crate::wake::Wake::pool_settings) says has changed: every pool takes it over.
    ///
    /// Settings of one part of the pools are its caller's to keep, so they are changed there first.
    pub async fn apply_layers(&self) {
        let pools = &self.0.pools;
        let _one_at_a_time = pools.changing.lock().await;
        pools.change(&pools.settings());
    }

    /// Runs a command of the console.
    ///
    /// # Errors
    /// When it is none, or is not done: as the console would tell.
    pub async fn run(&self, command: &str) -> Result<Answer, ClientError> {
        let command = parse(command).map_err(|error| error.client_error())?;
        let reply = match command {
            Command::Empty | Command::SetIgnored | Command::Takeover { .. } => Reply::Done,
            Command::ShowParameter { name, value } => {
                return Ok(Answer::Table { columns: vec![name], rows: vec![vec![Some(value.to_owned())]] });
            }
            command => Desk::new(&self.0).run(command).await.map_err(|error| error.client_error())?,
        };
        Ok(match reply {
            Reply::Table(table) => Answer::Table { columns: table.columns.names.to_vec(), rows: table.rows },
            Reply::Notice(text) => Answer::Done(Some(text)),
            Reply::Done => Answer::Done(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_logged_in_pgbouncers_words() {
        for (command, logged) in [
            ("pause app", "PAUSE 'app' command issued"),
            ("RESUME;", "RESUME command issued"),
            ("disable \"a\nb\"", "DISABLE 'a\\nb' command issued"),
            ("kill_client 7", "KILL_CLIENT '7' command issued"),
            ("set verbose = 1", "SET verbose=1 command issued"),
            ("shutdown wait_for_clients", "SHUTDOWN command issued"),
        ] {
            assert_eq!(issued(&parse(command).unwrap()), logged);
        }
    }
}
