//! The life of a statement, or of a script, as server-sent events, for those that run long or bring much.
//!
//! ```text
//!  event: waking    {}                                  when the endpoint is asleep
//!  event: started   {"wakeMs":312.001}                  PostgreSQL has the statement
//!  event: statement {"index":0}                         only in a script, before what belongs to it
//!  event: notice    every field of the notice
//!  event: fields    [{"name":…,"type":…,…}]
//!  event: rows      [{…},{…}]                           again and again, as they come
//!  event: done      {"command":…,"rowCount":…,"timing":{…}}    with "more":true when maxRows cut it
//!  event: error     every field of the error            instead of what is missing; a script ends
//!  event: end       {"rolledBack":false}                only of a script: whether a transaction was left open
//! ```
//!
//! Rows are taken from PostgreSQL as fast as the client reads, so there is no limit for a result. A client that goes
//! takes its statement along.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{ErrorResponse, NoticeResponse, TxStatus};
use dormouse_pgwire::tag;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::gateway::Gateway;
use crate::gateway::answer::json;
use crate::gateway::answer::problem::{self, Problem};
use crate::gateway::answer::rows::{self, Writer};
use crate::gateway::answer::timing::Timing;
use crate::gateway::budget::MAX_MESSAGE;
use crate::gateway::lease::{Lease, status};
use crate::gateway::request::headers::Output;
use crate::gateway::run::told;

/// Events that are under way to the client.
const UNDER_WAY: usize = 4;

/// Bytes of rows in one event.
const ROWS: usize = 64 << 10;

/// Something is said at least so often, so that nobody in between takes the connection for dead.
const SAYS_EVERY: Duration = Duration::from_secs(15);

/// PortalSuspended: there are more rows than were asked for.
const PORTAL_SUSPENDED: u8 = b's';

/// The client has gone.
struct Gone;

/// What is sent to PostgreSQL, one after the other.
pub(super) struct Script {
    /// The messages of each statement.
    pub(super) statements: Vec<Vec<u8>>,
    /// It was asked for as one statement.
    pub(super) is_one: bool,
    /// By their texts, nothing outlives them.
    pub(super) clean: bool,
    /// How rows are written.
    pub(super) output: Output,
}

/// Answers with a stream of events.
pub(super) fn serve(gateway: &Gateway, lease: Lease, script: Script, timing: Timing) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let output = script.output;
    let teller = Teller { sender, output, timing, first: None, begun: false, altered: false, failed: false };
    gateway.clients.cleaner.spawn(async move {
        // Who is gone needs no last event.
        let _gone = teller.tell(lease, script).await;
    });
    let events = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async {
        let event = match tokio::time::timeout(SAYS_EVERY, receiver.recv()).await {
            Ok(event) => event?,
            Err(_) => Bytes::from_static(b": still here\n\n"),
        };
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Tells a client what happens.
struct Teller {
    sender: mpsc::Sender<Bytes>,
    output: Output,
    /// Of this statement.
    timing: Timing,
    /// When PostgreSQL first said something about it.
    first: Option<Mono>,
    /// The client knows that PostgreSQL is at work.
    begun: bool,
    altered: bool,
    failed: bool,
}

impl Teller {
    async fn tell(mut self, mut lease: Lease, script: Script) -> Result<(), Gone> {
        if self.timing.asleep {
            self.event("waking", b"{}").await?;
        }
        let mut end = TxStatus::Idle;
        for (n, bytes) in script.statements.into_iter().enumerate() {
            if !script.is_one {
                self.event("statement", format!("{{\"index\":{n}}}").as_bytes()).await?;
            }
            if n > 0 {
                (self.timing, self.first) = (Timing { start: Mono::now(), asleep: false }, None);
            }
            end = match self.statement(&mut lease, bytes).await? {
                Ok(end) => end,
                Err(problem) => {
                    lease.abandon();
                    return self.problem(&problem).await;
                }
            };
            if self.failed {
                break;
            }
        }
        let as_new = lease.tidy(end, !script.clean || self.altered).await;
        lease.finish(as_new);
        if !script.is_one {
            let open = end != TxStatus::Idle;
            self.event("end", format!("{{\"rolledBack\":{open}}}").as_bytes()).await?;
        }
        Ok(())
    }

    /// Runs one statement. `Ok(Err(…))`: the session has ended.
    async fn statement(
        &mut self,
        lease: &mut Lease,
        bytes: Vec<u8>,
    ) -> Result<Result<TxStatus, Problem>, Gone> {
        lease.send(bytes);
        let greeted = tokio::select! {
            greeted = lease.greet_once() => greeted,
            () = self.sender.closed() => return Err(Gone),
        };
        match greeted {
            Ok(()) => self.answer(lease).await,
            Err(broken) => Ok(Err(told(broken))),
        }
    }

    /// `Ok(Err(…))`: the session has ended.
    async fn answer(&mut self, lease: &mut Lease) -> Result<Result<TxStatus, Problem>, Gone> {
        let mut writer = Writer::new(self.output);
        let mut batch = Vec::new();
        let mut last = None;
        loop {
            let frame = tokio::select! {
                frame = lease.message(MAX_MESSAGE) => frame,
                () = self.sender.closed() => return Err(Gone),
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(broken) => return Ok(Err(told(broken))),
            };
            self.begun().await?;
            let taken = match frame.tag {
                tag::backend::ROW_DESCRIPTION => {
                    let mut fields = Vec::new();
                    let written = writer.fields(&mut fields, &frame.body);
                    self.event("fields", &fields).await?;
                    written
                }
                tag::backend::DATA_ROW => {
                    batch.push(if batch.is_empty() { b'[' } else { b',' });
                    writer.bare_row(&mut batch, &frame.body)
                }
                tag::backend::COMMAND_COMPLETE | tag::backend::EMPTY_QUERY_RESPONSE | PORTAL_SUSPENDED => {
                    last = Some((frame.tag, frame.body.clone()));
                    Ok(())
                }
                tag::backend::ERROR_RESPONSE => {
                    if let Some(fatal) = self.failed(&mut batch, &frame.body).await? {
                        return Ok(Err(fatal));
                    }
                    last = None;
                    Ok(())
                }
                // COPY in or out: see `run`.
                b'G' | b'H' => return Ok(Err(crate::gateway::run::no_copy())),
                tag::backend::READY_FOR_QUERY => {
                    self.rows_of(&mut batch).await?;
                    if let Some((how, body)) = last {
                        self.done(how, &body, writer.rows()).await?;
                    }
                    return Ok(status(&frame.body).ok_or_else(Problem::lost));
                }
                _ => {
                    self.aside(frame.tag, &frame.body).await?;
                    Ok(())
                }
            };
            if taken.is_err() {
                return Ok(Err(Problem::lost()));
            }
            if batch.len() >= ROWS {
                self.rows_of(&mut batch).await?;
            }
        }
    }

    /// The statement has failed; back comes an error that has ended the session, too.
    async fn failed(&mut self, batch: &mut Vec<u8>, body: &[u8]) -> Result<Option<Problem>, Gone> {
        self.rows_of(batch).await?;
        self.failed = true;
        let Ok(error) = ErrorResponse::decode(body) else { return Ok(Some(Problem::lost())) };
        let fatal = error.fields.is_fatal();
        let problem = Problem::from(error);
        if fatal {
            return Ok(Some(problem));
        }
        self.problem(&problem).await?;
        Ok(None)
    }

    /// The first message of PostgreSQL is here.
    async fn begun(&mut self) -> Result<(), Gone> {
        self.first.get_or_insert_with(Mono::now);
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let wake = self.timing.wake_ms(self.first);
        self.event("started", format!("{{\"wakeMs\":{wake}}}").as_bytes()).await
    }

    async fn rows_of(&self, batch: &mut Vec<u8>) -> Result<(), Gone> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.push(b']');
        let told = self.event("rows", batch).await;
        batch.clear();
        told
    }

    /// What PostgreSQL says beside results; a notice that cannot be read is left out.
    async fn aside(&mut self, tag: u8, body: &[u8]) -> Result<(), Gone> {
        self.altered |= tag == tag::backend::PARAMETER_STATUS;
        if tag != tag::backend::NOTICE_RESPONSE {
            return Ok(());
        }
        let Ok(notice) = NoticeResponse::decode(body) else { return Ok(()) };
        let mut out = Vec::new();
        problem::write(&mut out, &notice.fields);
        self.event("notice", &out).await
    }

    /// `how`: the tag of the message that ended the statement. The number of rows is ours where PostgreSQL gives none.
    async fn done(&self, how: u8, body: &[u8], rows: u64) -> Result<(), Gone> {
        let more = how == PORTAL_SUSPENDED;
        let (command, count) =
            if how == tag::backend::COMMAND_COMPLETE { rows::command(body) } else { ("", None) };
        let count = if more { i64::try_from(rows).ok() } else { count };
        let mut out = b"{\"command\":".to_vec();
        json::string(&mut out, command.as_bytes());
        out.extend_from_slice(b",\"rowCount\":");
        match count {
            Some(count) => json::number(&mut out, count),
            None => out.extend_from_slice(b"null"),
        }
        if more {
            out.extend_from_slice(b",\"more\":true");
        }
        out.extend_from_slice(b",\"timing\":");
        self.timing.write(&mut out, self.first);
        out.push(b'}');
        self.event("done", &out).await
    }

    async fn problem(&self, problem: &Problem) -> Result<(), Gone> {
        let mut out = Vec::new();
        problem::write(&mut out, &problem.error.fields);
        self.event("error", &out).await
    }

    /// JSON has no line breaks in it, as everything was written by us; a `json` value may have some.
    async fn event(&self, name: &str, data: &[u8]) -> Result<(), Gone> {
        let mut out = Vec::with_capacity(data.len() + name.len() + 16);
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.extend_from_slice(b"\ndata: ");
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b"\n\n");
        self.sender.send(out.into()).await.map_err(|_| Gone)
    }
}
