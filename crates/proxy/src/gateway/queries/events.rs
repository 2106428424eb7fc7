//! A statement's life as server-sent events, for those that run long or bring much.
//!
//! ```text
//!  event: waking    {}                                  when the endpoint is asleep
//!  event: started   {"wakeMs":312.001}                  PostgreSQL has the statement
//!  event: fields    [{"name":…,"type":…,…}]
//!  event: rows      [{…},{…}]                           again and again, as they come
//!  event: done      {"command":…,"rowCount":…,"timing":{…}}
//!  event: error     every field of the error            instead of what is missing
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
use dormouse_pgwire::backend::{ErrorResponse, TxStatus};
use dormouse_pgwire::tag;
use futures_util::stream;
use tokio::sync::mpsc;

use super::OUTPUT;
use crate::gateway::Gateway;
use crate::gateway::answer::json;
use crate::gateway::answer::problem::{self, Problem};
use crate::gateway::answer::rows::{self, Writer};
use crate::gateway::answer::timing::Timing;
use crate::gateway::budget::MAX_MESSAGE;
use crate::gateway::lease::{Lease, status};
use crate::gateway::run::told;

/// Events that are under way to the client.
const UNDER_WAY: usize = 4;

/// Bytes of rows in one event.
const ROWS: usize = 64 << 10;

/// Something is said at least so often, so that nobody in between takes the connection for dead.
const SAYS_EVERY: Duration = Duration::from_secs(15);

/// The client has gone.
struct Gone;

/// Answers with a stream of events.
pub(super) fn serve(
    gateway: &Gateway,
    lease: Lease,
    bytes: Vec<u8>,
    clean: bool,
    timing: Timing,
) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let teller = Teller { sender, timing, first: None, altered: false };
    gateway.clients.cleaner.spawn(async move {
        // Who is gone needs no last event.
        let _gone = teller.tell(lease, bytes, clean).await;
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
    timing: Timing,
    first: Option<Mono>,
    altered: bool,
}

impl Teller {
    async fn tell(mut self, mut lease: Lease, bytes: Vec<u8>, clean: bool) -> Result<(), Gone> {
        if self.timing.asleep {
            self.event("waking", b"{}").await?;
        }
        lease.send(bytes);
        let greeted = tokio::select! {
            greeted = lease.greet_once() => greeted,
            () = self.sender.closed() => return Err(Gone),
        };
        if let Err(broken) = greeted {
            lease.abandon();
            return self.problem(&told(broken)).await;
        }
        let ended = self.answer(&mut lease).await?;
        match ended {
            Ok(end) => {
                let as_new = lease.tidy(end, !clean || self.altered).await;
                lease.finish(as_new);
            }
            Err(problem) => {
                lease.abandon();
                self.problem(&problem).await?;
            }
        }
        Ok(())
    }

    /// `Ok(Err(…))`: the session has ended.
    async fn answer(&mut self, lease: &mut Lease) -> Result<Result<TxStatus, Problem>, Gone> {
        let mut writer = Writer::new(OUTPUT);
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
                tag::backend::COMMAND_COMPLETE => {
                    last = Some(frame.body.clone());
                    Ok(())
                }
                tag::backend::PARAMETER_STATUS => {
                    self.altered = true;
                    Ok(())
                }
                tag::backend::EMPTY_QUERY_RESPONSE => {
                    last = Some(Bytes::new());
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
                    if let Some(body) = last {
                        self.done(&body).await?;
                    }
                    return Ok(status(&frame.body).ok_or_else(Problem::lost));
                }
                _ => Ok(()),
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
    async fn failed(&self, batch: &mut Vec<u8>, body: &[u8]) -> Result<Option<Problem>, Gone> {
        self.rows_of(batch).await?;
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
        if self.first.is_some() {
            return Ok(());
        }
        self.first = Some(Mono::now());
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

    async fn done(&self, body: &[u8]) -> Result<(), Gone> {
        let (command, count) = rows::command(body);
        let mut out = b"{\"command\":".to_vec();
        json::string(&mut out, command.as_bytes());
        out.extend_from_slice(b",\"rowCount\":");
        match count {
            Some(count) => json::number(&mut out, count),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"timing\":");
        self.timing.write(&mut out, self.first);
        out.push(b'}');
        self.event("done", &out).await
    }

    async fn problem(&self, problem: &Problem) -> Result<(), Gone> {
        let mut out = Vec::new();
        problem::write(&mut out, &problem.error);
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
