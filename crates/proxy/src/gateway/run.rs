//! Statements go to the pool, their results become an answer.
//!
//! ```text
//!  single  1 2 T D… C Z          batch  1 2 C (BEGIN)  [1 2 T D… C]…  1 2 C (COMMIT)  Z
//!          └ a result ┘                                └ a result ┘
//!
//!  read ─┬─ Z, no error ──────────────► tidy ─► whole response
//!        ├─ error ────────────────────► tidy ─► its status and fields
//!        └─ more than is held back ───► response that goes on ──┬─ Z ─────► tidy ─► the document's end
//!                                       (`Late`, piece by piece) └─ error ─► the connection breaks off
//! ```
//!
//! What is held back is large enough for nearly every answer, so ordinary errors have a status and an SQLSTATE. After
//! that an error cannot be told any more; the end of the document is missing then, and the connection breaks off, so
//! that no client takes a part for the whole. A client that goes takes its statement along: the lease is dropped.

use std::io;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{ErrorResponse, TxStatus};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, frame::Frame, tag};
use dormouse_pooler::link::Stateful;
use futures_util::stream;

use super::answer::problem::Problem;
use super::answer::rows::{Malformed, Writer};
use super::answer::timing::Timing;
use super::body::{self, Answer, Full};
use super::budget::{Budget, MAX_MESSAGE};
use super::client::Broken;
use super::lease::{Lease, status};
use super::request::headers::{Output, Transaction};
use super::request::messages;
use super::request::statement::{Statement, Work};
use crate::session::help;

/// NoData: the statement has no rows.
const NO_DATA: u8 = b'n';
/// COPY … FROM STDIN: PostgreSQL waits for data.
const COPY_IN: u8 = b'G';
/// COPY … TO STDOUT: data instead of rows.
const COPY_OUT: u8 = b'H';

/// How an answer is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// How rows are written.
    pub(crate) output: Output,
    /// Whether the document ends with where the time went.
    pub(crate) timing: Option<Timing>,
    /// Compressed, where that is worth it.
    pub(crate) gzip: bool,
    /// The request's name, for the log.
    pub(crate) request: &'a str,
}

/// Runs a request.
pub(crate) async fn run(
    mut lease: Lease,
    work: &Work<'_>,
    transaction: Transaction,
    wish: Wish<'_>,
    budget: &Budget,
) -> Result<Response<Body>, Problem> {
    let bytes = messages::of_work(work, transaction).map_err(|bad| Problem::malformed(bad.to_string()))?;
    lease.send(bytes);
    if let Err(broken) = lease.greet_once().await {
        lease.abandon();
        return Err(told(broken));
    }
    let mut run = Run::new(work, wish, budget);
    match run.read(&mut lease).await {
        Ok(Progress::Ended(end)) => {
            run.end(lease, end).await?;
            Ok(body::whole(run.answer, wish.gzip))
        }
        Ok(Progress::Due) => {
            let held_back = run.answer.begin();
            let late = Late { lease, run, request: wish.request.to_owned() };
            let rest = stream::try_unfold(Some(Box::new(late)), |late| async {
                match late {
                    Some(late) => late.next().await.map(Some),
                    None => Ok(None),
                }
            });
            Ok(body::going_on(held_back, Box::pin(rest), wish.gzip))
        }
        Err(stop) => Err(stop.give_up(lease)),
    }
}

/// Whether their texts say that nothing outlives them.
pub(crate) fn leave_nothing(statements: &[Statement<'_>]) -> bool {
    statements.iter().all(|statement| !Stateful::of(statement.query.as_bytes()).outlives())
}

/// An answer that is being sent while the rest of it comes.
struct Late {
    lease: Lease,
    run: Run,
    request: String,
}

impl Late {
    /// The next piece, and what comes after it.
    async fn next(mut self: Box<Self>) -> io::Result<(Bytes, Option<Box<Self>>)> {
        let problem = match self.run.read(&mut self.lease).await {
            Ok(Progress::Due) => return Ok((self.run.answer.piece(), Some(self))),
            Ok(Progress::Ended(end)) => match self.run.end(self.lease, end).await {
                Ok(()) => return Ok((self.run.answer.piece(), None)),
                Err(problem) => problem,
            },
            Err(stop) => stop.give_up(self.lease),
        };
        tracing::info!(
            request = self.request,
            code = problem.error.fields.code(),
            message = problem.error.fields.message(),
            "a result over HTTP breaks off: what is missing cannot be told any more"
        );
        Err(io::Error::other("the result breaks off"))
    }
}

/// How far reading has come.
enum Progress {
    /// The answer is complete; the session is in this state.
    Ended(TxStatus),
    /// Something has to be sent before more is read.
    Due,
}

/// How reading an answer ends before its end.
enum Stop {
    /// The statement is cancelled.
    Problem(Problem),
    /// The session cannot be used any more.
    Abandon(Problem),
}

impl Stop {
    fn give_up(self, lease: Lease) -> Problem {
        match self {
            Self::Problem(problem) => problem,
            Self::Abandon(problem) => {
                lease.abandon();
                problem
            }
        }
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        tracing::error!(error = %malformed, "the backend broke the protocol");
        Self::Abandon(Problem::lost())
    }
}

/// One request while its answer comes.
struct Run {
    /// What each statement says about rows as arrays.
    modes: Vec<Option<bool>>,
    batch: bool,
    output: Output,
    timing: Option<Timing>,
    answer: Answer,
    /// Statements that have ended, BEGIN included.
    done: usize,
    writer: Writer,
    error: Option<Problem>,
    /// Something may outlive the request.
    stateful: bool,
    first: Option<Mono>,
}

impl Run {
    fn new(work: &Work<'_>, wish: Wish<'_>, budget: &Budget) -> Self {
        let batch = matches!(work, Work::Batch(_));
        let mut answer = Answer::new(budget);
        if batch {
            answer.out.extend_from_slice(b"{\"results\":[");
        }
        let mut run = Self {
            modes: work.statements().iter().map(|statement| statement.array_mode).collect(),
            batch,
            output: wish.output,
            timing: wish.timing,
            answer,
            done: 0,
            writer: Writer::new(wish.output),
            error: None,
            stateful: !leave_nothing(work.statements()),
            first: None,
        };
        run.next();
        run
    }

    /// Which of the client's statements is under way.
    fn current(&self) -> Option<usize> {
        if self.batch { self.done.checked_sub(1).filter(|n| *n < self.modes.len()) } else { Some(0) }
    }

    fn next(&mut self) {
        let mode = self.current().and_then(|n| self.modes.get(n).copied().flatten());
        self.writer =
            Writer::new(Output { array_mode: mode.unwrap_or(self.output.array_mode), ..self.output });
    }

    /// Reads the answer; its last message says in which state the session is.
    async fn read(&mut self, lease: &mut Lease) -> Result<Progress, Stop> {
        while !self.answer.is_due() {
            let length = lease.announced().await.map_err(|broken| Stop::Abandon(told(broken)))?;
            if self.error.is_none() {
                self.answer.admit(length).map_err(|full| Stop::Problem(too_large(full)))?;
            }
            let frame = match lease.message(MAX_MESSAGE).await {
                Ok(frame) => frame,
                Err(Broken::TooLong) => return Err(Stop::Problem(too_large(Full::Row))),
                Err(broken) => return Err(Stop::Abandon(told(broken))),
            };
            self.first.get_or_insert_with(Mono::now);
            if frame.tag == tag::backend::READY_FOR_QUERY {
                let end = status(&frame.body).ok_or(Malformed)?;
                return Ok(Progress::Ended(end));
            }
            self.take(lease, &frame)?;
            self.answer.cut();
        }
        Ok(Progress::Due)
    }

    /// What was left behind is gone before the client hears of its result.
    async fn end(&mut self, mut lease: Lease, end: TxStatus) -> Result<(), Problem> {
        let as_new = lease.tidy(end, self.stateful).await;
        lease.finish(as_new);
        if let Some(problem) = self.error.take() {
            return Err(problem);
        }
        if let Some(timing) = self.timing {
            self.answer.out.extend_from_slice(b",\"timing\":");
            timing.write(&mut self.answer.out, self.first);
            self.answer.out.push(b'}');
        }
        Ok(())
    }

    fn take(&mut self, lease: &mut Lease, frame: &Frame) -> Result<(), Stop> {
        let ours = self.current().is_some();
        match frame.tag {
            tag::backend::DATA_ROW if self.error.is_none() => {
                self.writer.row(&mut self.answer.out, &frame.body)?;
            }
            tag::backend::ROW_DESCRIPTION if ours => self.begin(Some(&frame.body))?,
            NO_DATA if ours => self.begin(None)?,
            tag::backend::COMMAND_COMPLETE | tag::backend::EMPTY_QUERY_RESPONSE => {
                if ours && self.error.is_none() {
                    let tag = (frame.tag == tag::backend::COMMAND_COMPLETE).then_some(&frame.body[..]);
                    self.writer.end(&mut self.answer.out, tag)?;
                }
                self.done += 1;
                self.next();
                if self.batch && self.done == self.modes.len() + 1 {
                    self.answer.out.extend_from_slice(b"]}");
                }
            }
            tag::backend::ERROR_RESPONSE => {
                let error = ErrorResponse::decode(&frame.body).map_err(|_| Malformed)?;
                if error.fields.is_fatal() {
                    return Err(Stop::Abandon(error.into()));
                }
                // The first one is the reason for the others.
                self.error.get_or_insert_with(|| error.into());
            }
            COPY_OUT => return Err(Stop::Problem(no_copy())),
            COPY_IN if self.batch => return Err(Stop::Abandon(no_copy())),
            COPY_IN => {
                self.error = Some(no_copy());
                lease.send(messages::copy_fail());
            }
            tag::backend::PARAMETER_STATUS => self.stateful = true,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, fields: Option<&[u8]>) -> Result<(), Malformed> {
        if self.batch && self.done > 1 {
            self.answer.out.push(b',');
        }
        self.writer.begin(&mut self.answer.out, fields)
    }
}

/// How the client is told that its session has ended.
pub(crate) fn told(broken: Broken) -> Problem {
    match broken {
        Broken::Ended(Some(error)) => error.into(),
        Broken::Ended(None) | Broken::TooLong => Problem::lost(),
    }
}

fn too_large(full: Full) -> Problem {
    match full {
        Full::Row => Problem::too_large(
            StatusCode::BAD_REQUEST,
            "a row of the result is larger than 64 MiB: fetch it in parts, for example with substr()",
        ),
        Full::Answer => Problem::too_large(
            StatusCode::BAD_REQUEST,
            "the result is larger than 512 MiB: fetch it in parts, or as a stream from /v1/queries",
        ),
        Full::All => Problem::request(
            StatusCode::SERVICE_UNAVAILABLE,
            SqlState::INSUFFICIENT_RESOURCES,
            "http-too-large",
            "too many large rows are being fetched at the same time: try again",
        ),
    }
}

pub(crate) fn no_copy() -> Problem {
    let error = ClientError::error(SqlState::FEATURE_NOT_SUPPORTED, "COPY is not possible over HTTP");
    Problem::from(
        error.with_hint(format!("Use a WebSocket or a direct connection. {}", help("http-request"))),
    )
}
