//! Statements go to the pool, their results become an answer.
//!
//! ```text
//!  single  1 2 T D… C Z          batch  1 2 C (BEGIN)  [1 2 T D… C]…  1 2 C (COMMIT)  Z
//!          └ a result ┘                                └ a result ┘
//! ```

use axum::http::StatusCode;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{ErrorResponse, TxStatus};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, frame::Frame, tag};
use dormouse_pooler::link::Stateful;

use super::answer::problem::Problem;
use super::answer::rows::{Malformed, Writer};
use super::body::{Answer, Full};
use super::budget::{Budget, MAX_ANSWER};
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

/// What a request brought.
pub(crate) struct Done {
    /// The result.
    pub(crate) answer: Answer,
    /// When PostgreSQL said something first.
    pub(crate) first: Option<Mono>,
}

/// Runs a request.
pub(crate) async fn run(
    mut lease: Lease,
    work: &Work<'_>,
    transaction: Transaction,
    output: Output,
    budget: &Budget,
) -> Result<Done, Problem> {
    let bytes = messages::of_work(work, transaction).map_err(|bad| Problem::malformed(bad.to_string()))?;
    lease.send(bytes);
    if let Err(broken) = lease.greet_once().await {
        lease.abandon();
        return Err(told(broken));
    }
    let mut run = Run::new(work, output, budget);
    let end = match run.read(&mut lease).await {
        Ok(end) => end,
        Err(Stop::Problem(problem)) => return Err(problem),
        Err(Stop::Abandon(problem)) => {
            lease.abandon();
            return Err(problem);
        }
    };
    // What was left behind is gone before the client hears of its result.
    let as_new = lease.tidy(end, run.altered || !leave_nothing(work.statements())).await;
    lease.finish(as_new);
    match run.error {
        Some(problem) => Err(problem),
        None => Ok(Done { answer: run.answer, first: run.first }),
    }
}

/// Whether their texts say that nothing outlives them.
pub(crate) fn leave_nothing(statements: &[Statement<'_>]) -> bool {
    statements.iter().all(|statement| !Stateful::of(statement.query.as_bytes()).outlives())
}

/// How reading an answer ends before its end.
enum Stop {
    /// The statement is cancelled.
    Problem(Problem),
    /// The session cannot be used any more.
    Abandon(Problem),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        tracing::error!(error = %malformed, "the backend broke the protocol");
        Self::Abandon(Problem::lost())
    }
}

/// One request while its answer comes.
struct Run<'a> {
    statements: &'a [Statement<'a>],
    batch: bool,
    output: Output,
    answer: Answer,
    /// Statements that have ended, BEGIN included.
    done: usize,
    writer: Writer,
    error: Option<Problem>,
    altered: bool,
    first: Option<Mono>,
}

impl<'a> Run<'a> {
    fn new(work: &'a Work<'_>, output: Output, budget: &Budget) -> Self {
        let statements = work.statements();
        let batch = matches!(work, Work::Batch(_));
        let mut answer = Answer::new(budget);
        if batch {
            answer.out.extend_from_slice(b"{\"results\":[");
        }
        let mut run = Self {
            statements,
            batch,
            output,
            answer,
            done: 0,
            writer: Writer::new(output),
            error: None,
            altered: false,
            first: None,
        };
        run.next();
        run
    }

    /// Which of the client's statements is under way.
    fn current(&self) -> Option<usize> {
        if self.batch { self.done.checked_sub(1).filter(|n| *n < self.statements.len()) } else { Some(0) }
    }

    fn next(&mut self) {
        let mode = self.current().and_then(|n| self.statements.get(n)).and_then(|s| s.array_mode);
        self.writer =
            Writer::new(Output { array_mode: mode.unwrap_or(self.output.array_mode), ..self.output });
    }

    /// Reads the answer; its last message says in which state the session is.
    async fn read(&mut self, lease: &mut Lease) -> Result<TxStatus, Stop> {
        loop {
            let frame = match lease.message(MAX_ANSWER).await {
                Ok(frame) => frame,
                Err(Broken::TooLong) => return Err(Stop::Problem(too_large(Full::One))),
                Err(broken) => return Err(Stop::Abandon(told(broken))),
            };
            self.first.get_or_insert_with(Mono::now);
            if frame.tag == tag::backend::READY_FOR_QUERY {
                return status(&frame.body).ok_or_else(|| Malformed.into());
            }
            self.take(lease, &frame)?;
        }
    }

    fn take(&mut self, lease: &mut Lease, frame: &Frame) -> Result<(), Stop> {
        let ours = self.current().is_some();
        match frame.tag {
            tag::backend::DATA_ROW if self.error.is_none() => {
                if !self.answer.has_room(frame.body.len()) {
                    return Err(Stop::Problem(too_large(Full::One)));
                }
                self.writer.row(&mut self.answer.out, &frame.body)?;
                self.answer.cut().map_err(|full| Stop::Problem(too_large(full)))?;
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
                if self.batch && self.done == self.statements.len() + 1 {
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
            tag::backend::PARAMETER_STATUS => self.altered = true,
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
        Full::One => Problem::too_large(
            StatusCode::BAD_REQUEST,
            "the result is larger than 64 MiB: fetch it in parts, or as a stream from /v1/queries",
        ),
        Full::All => Problem::request(
            StatusCode::SERVICE_UNAVAILABLE,
            SqlState::INSUFFICIENT_RESOURCES,
            "http-too-large",
            "too many large results are being fetched at the same time: try again",
        ),
    }
}

pub(crate) fn no_copy() -> Problem {
    let error = ClientError::error(SqlState::FEATURE_NOT_SUPPORTED, "COPY is not possible over HTTP");
    Problem::from(
        error.with_hint(format!("Use a WebSocket or a direct connection. {}", help("http-request"))),
    )
}
