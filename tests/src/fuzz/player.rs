//! One client, twice: through the pool and directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::script::{Round, Script};
use super::{Pooler, Tally, Weather, compare};
use crate::foreign;
use crate::pooled::PASSWORD;
use crate::say::{Say, short};
use crate::seed::Seed;
use crate::wire::{NoLogin, Reader, Wire};

/// Players that there can be.
pub(super) const MAX_PLAYERS: usize = 40;

/// Players in session mode.
const SESSIONS: usize = 2;

/// A round that is not answered in this time hangs.
const ROUND_WITHIN: Duration = Duration::from_secs(25);

/// The same where the server lies; then the client gives up.
const LIE_WITHIN: Duration = Duration::from_secs(3);

/// What a client is told whose statement was lost with its backend, and how long nothing comes after it.
const LOST: [&str; 2] = ["E:08006", "E:57P01"];
const LOST_AFTER: Duration = Duration::from_secs(2);

/// So often the end of a round is asked for again.
const RETRIES: usize = 10;

/// Rounds that are told with a failure.
const TOLD: usize = 20;

/// What a connection may end with in bad weather.
const ENDS: [&str; 9] = ["57P01", "57P02", "57P03", "08006", "08P01", "53300", "22023", "08001", "XX000"];

/// What was wrong.
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) story: String,
}

/// One of the two.
struct Side {
    port: u16,
    password: &'static str,
    /// The beginning of its schema's name.
    schema: char,
    wire: Option<Wire>,
}

/// What came of a round.
struct Answer {
    replies: Vec<String>,
    ended: bool,
}

/// PostgreSQL 18 (18.4 at least) answers so to the first statement after Parse, Bind, Execute, Query, Sync: it believes
/// that a transaction is open. Which of the two sides meets it depends on what the pool answers by itself. PostgreSQL 15
/// ends a session so, "RollbackToSavepoint: unexpected state STARTED", that says ROLLBACK TO where no savepoint is, in a
/// pipeline.
const CONFUSED: &str = "E:XX000";

/// It.
pub(super) struct Player {
    number: usize,
    tag: String,
    mode: &'static str,
    script: Script,
    weather: Weather,
    pooled: Side,
    direct: Side,
    logins: u64,
    past: Vec<String>,
    tally: Arc<Tally>,
}

impl Player {
    pub(super) fn new(
        pooler: &Pooler,
        number: usize,
        seed: Seed,
        weather: Weather,
        tally: Arc<Tally>,
    ) -> Self {
        let tag = format!("client{number}_");
        // Those in session mode keep their backends, and the others need some too.
        let mode = if number < SESSIONS { "session" } else { "transaction" };
        Self {
            number,
            mode,
            script: Script::new(seed, &tag, mode == "session"),
            weather,
            pooled: Side { port: pooler.port(), password: PASSWORD, schema: 'p', wire: None },
            direct: Side {
                port: pooler.foreign.port(),
                password: foreign::PASSWORD,
                schema: 'd',
                wire: None,
            },
            logins: 0,
            past: Vec::new(),
            tag,
            tally,
        }
    }

    /// Until it is over.
    pub(super) async fn play(mut self, over: &AtomicBool) -> Result<(), Failure> {
        while !over.load(Ordering::Relaxed) {
            if let Err(what) = self.turn().await {
                over.store(true, Ordering::Relaxed);
                return Err(Failure {
                    what: format!("{} ({}): {what}", self.tag, self.mode),
                    story: self.past.join("\n"),
                });
            }
            self.tally.rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), String> {
        if !self.connect().await? {
            return Ok(());
        }
        let round = self.script.round();
        let end = format!("end of round {}", self.script.seed.below(1 << 40));
        let pieces = self.pieces(&round, &end);
        if self.past.len() >= TOLD {
            self.past.remove(0);
        }
        self.past.push(round.story.join("\n"));
        let pooled = self.pooled.play(&pieces, &end, self.weather).await?;
        self.tell("pooled", &pooled.replies);
        self.tally.replies.fetch_add(pooled.replies.len() as u64, Ordering::Relaxed);
        if self.weather != Weather::Lies
            && let Some(row) = compare::foreign(&pooled.replies, &self.tag)
        {
            return Err(format!("got a row of another client: {row:.200}"));
        }
        if self.weather != Weather::Calm {
            return self.bad_weather(&pooled);
        }
        if pooled.replies.iter().any(|reply| reply == CONFUSED) {
            (self.pooled.wire, self.direct.wire) = (None, None);
            return Ok(());
        }
        let direct = self.direct.play(&pieces, &end, Weather::Calm).await?;
        self.tell("direct", &direct.replies);
        if direct.ended {
            // Both begin anew.
            self.tally.ended.fetch_add(1, Ordering::Relaxed);
            (self.pooled.wire, self.direct.wire) = (None, None);
            return Ok(());
        }
        match compare::differ(&pooled.replies, &direct.replies) {
            None if pooled.replies == direct.replies => self.same_parameters(),
            None => {
                // A name that only one of them took: both begin anew.
                (self.pooled.wire, self.direct.wire) = (None, None);
                Ok(())
            }
            Some(at) => Err(format!("the pool answers differently at {at}")),
        }
    }

    /// Both clients believe the same of their session.
    fn same_parameters(&self) -> Result<(), String> {
        let [pooled, direct] = [&self.pooled, &self.direct].map(|side| {
            let mut told = side.wire.as_ref().map(|wire| wire.read.told.clone()).unwrap_or_default();
            // It has the side's name in it; PostgreSQL 18 reports it.
            told.remove("search_path");
            told
        });
        if pooled == direct {
            Ok(())
        } else {
            Err(format!("the pool told {pooled:?}, PostgreSQL {direct:?}"))
        }
    }

    fn tell(&mut self, who: &str, replies: &[String]) {
        let short: Vec<_> = replies.iter().map(|reply| format!("{reply:.100}")).collect();
        if let Some(last) = self.past.last_mut() {
            last.push_str(&format!("\n   {who}: {}", short.join(" ")));
        }
    }

    /// Connections may end now, but only with words that are documented.
    fn bad_weather(&mut self, answer: &Answer) -> Result<(), String> {
        if !answer.ended {
            return Ok(());
        }
        self.tally.ended.fetch_add(1, Ordering::Relaxed);
        self.pooled.wire = None;
        let last = answer.replies.last().and_then(|last| last.strip_prefix("E:"));
        match last {
            Some(code) if self.weather == Weather::Cuts && !ENDS.contains(&code) => {
                Err(format!("ended with {code}"))
            }
            _ => Ok(()),
        }
    }

    /// Both sides have a connection; false when there can be none at the moment.
    async fn connect(&mut self) -> Result<bool, String> {
        let calm = self.weather == Weather::Calm;
        if self.pooled.wire.is_some() && (self.direct.wire.is_some() || !calm) {
            return Ok(true);
        }
        self.logins += 1;
        self.past.push(format!("-- login {} in {} mode", self.logins, self.mode));
        let lock = format!("{:?}{}{}", self.weather, self.number, self.logins);
        match self.pooled.login(self.number, &lock, &[("pool_mode", self.mode)]).await {
            Ok(()) => {}
            Err(NoLogin::Refused(_)) if !calm => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                return Ok(false);
            }
            Err(why) => return Err(format!("cannot log in to the pool: {why}")),
        }
        if calm {
            let login = self.direct.login(self.number, &lock, &[]).await;
            login.map_err(|why| format!("cannot log in directly: {why}"))?;
            for side in [&mut self.pooled, &mut self.direct] {
                let empty = Say::new().query("truncate t").query("select 'empty'");
                let answer = side.play(&[empty.0], "empty", Weather::Calm).await?;
                if answer.replies.first().is_none_or(|first| first != "C:TRUNCATE_TABLE") {
                    return Err(format!("cannot begin: {:?}", answer.replies));
                }
            }
        }
        Ok(true)
    }

    /// The bytes of a round, in pieces.
    fn pieces(&mut self, round: &Round, end: &str) -> Vec<Vec<u8>> {
        let seed = &mut self.script.seed;
        let say = round.say.clone().copy_fail("end of round").sync();
        let bytes = say.query(&format!("rollback; select '{end}'")).0;
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = seed.weighted(&[(6, 1_u64 << 20), (2, 400), (1, 20), (1, 3)]);
            let most = usize::try_from(seed.between(1, most)).unwrap();
            let (piece, later) =
                rest.split_at(rest.len().min(if pieces.len() > 60 { rest.len() } else { most }));
            pieces.push(piece.to_vec());
            rest = later;
        }
        pieces
    }
}

impl Side {
    async fn login(&mut self, number: usize, lock: &str, more: &[(&str, &str)]) -> Result<(), NoLogin> {
        self.wire = None;
        let options = format!("-c search_path={0}{number} -c my.lock={0}{lock}", self.schema);
        let mut params = vec![("user", "postgres"), ("database", "postgres"), ("options", options.as_str())];
        params.extend_from_slice(more);
        self.wire = Some(Wire::login(self.port, self.password, &params).await?);
        Ok(())
    }

    /// Sends everything and listens up to the end.
    async fn play(&mut self, pieces: &[Vec<u8>], end: &str, weather: Weather) -> Result<Answer, String> {
        // A server that lied about a length has its client wait for ever, with a pool or without.
        let (within, may_hang) = match weather {
            Weather::Lies => (LIE_WITHIN, true),
            Weather::Calm | Weather::Cuts => (ROUND_WITHIN, false),
        };
        let wire = self.wire.as_mut().ok_or("not connected")?;
        let mark = format!("D:{}", end.replace(' ', "_"));
        let mut replies = Vec::new();
        let first = async {
            let send = async {
                for (number, piece) in pieces.iter().enumerate() {
                    if wire.write.write_all(piece).await.is_err() {
                        return;
                    }
                    match number % 4 {
                        0 => tokio::time::sleep(Duration::from_millis(1)).await,
                        _ => tokio::task::yield_now().await,
                    }
                }
            };
            tokio::join!(send, listen(&mut wire.read, &mark, &mut replies)).1
        };
        let mut heard = tokio::time::timeout(within, first).await.unwrap_or(Heard::Nothing);
        for _ in 0..RETRIES {
            if heard != Heard::Lost {
                break;
            }
            // The end of the round was lost with the backend.
            let again = Say::new().query(&format!("rollback; select '{end}'"));
            let _closed = wire.write.write_all(&again.0).await;
            let listening = listen(&mut wire.read, &mark, &mut replies);
            heard = tokio::time::timeout(within, listening).await.unwrap_or(Heard::Nothing);
        }
        match heard {
            Heard::All => Ok(Answer { replies, ended: false }),
            Heard::Closed => Ok(Answer { replies, ended: true }),
            Heard::Lost | Heard::Nothing if may_hang => Ok(Answer { replies, ended: true }),
            Heard::Lost | Heard::Nothing => {
                let last: Vec<_> = replies.iter().rev().take(8).rev().collect();
                Err(format!("no answer within {ROUND_WITHIN:?} after {last:.300?}"))
            }
        }
    }
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    All,
    Closed,
    /// Its client was told that its statement is lost, and then nothing.
    Lost,
    Nothing,
}

/// Up to the end of the round.
async fn listen(read: &mut Reader, mark: &str, replies: &mut Vec<String>) -> Heard {
    let (mut ending, mut lost) = (false, false);
    loop {
        let frame = match tokio::time::timeout(LOST_AFTER, read.next()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Heard::Closed,
            Err(_) if lost => return Heard::Lost,
            Err(_) => continue,
        };
        let Some(reply) = short(&frame) else { continue };
        let reply = reply.replace(' ', "_");
        ending |= reply == mark;
        lost |= reply == CONFUSED || LOST.contains(&reply.as_str());
        let ready = reply.starts_with("Z:");
        replies.push(reply);
        if ending && ready {
            return Heard::All;
        }
    }
}
