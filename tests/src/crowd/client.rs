//! One of the crowd.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::ErrorResponse;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::Shared;
use crate::Project;
use crate::say::{Say, short};
use crate::seed::Seed;
use crate::wire::{NoLogin, Wire};

/// What a client in the middle of something may be told: its statement or transaction was lost, the database could
/// not be started, it waited for too long.
pub(super) const DOCUMENTED: [&str; 7] = ["57P01", "57P02", "57P03", "08006", "53300", "25P02", "57014"];

/// An answer that does not come within this time does not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(170);

/// So often a transaction may be ended.
const ENDS: usize = 6;

/// One in so many is active under load.
const ACTIVE: usize = 10;

/// What all are told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Rest,
    /// One statement, which must succeed.
    Ask,
    /// Work, some much, most little, until it is over.
    Load,
    /// Every second client keeps a backend busy, until it is over.
    Noise,
}

/// It.
pub(super) struct Client {
    number: usize,
    tag: String,
    wire: Wire,
    seed: Seed,
    shared: Arc<Shared>,
    count: u64,
    prepared: bool,
    status: u8,
}

/// What came of something that was sent.
enum Answer {
    Good,
    /// An error, and the connection goes on.
    Told,
}

/// A login by the pooled name.
pub(super) fn wire(
    project: &Project,
    number: usize,
) -> impl Future<Output = Result<Wire, NoLogin>> + Send + 'static {
    let config: tokio_postgres::Config = project.dsn.parse().unwrap();
    let port = config.get_ports()[0];
    let user = config.get_user().unwrap().to_owned();
    let password = String::from_utf8(config.get_password().unwrap().to_vec()).unwrap();
    let database = config.get_dbname().unwrap().to_owned();
    let options = format!("endpoint={}-pooler", project.endpoint);
    // As in life: a few kinds of clients.
    let zone = ["UTC", "Europe/Berlin", "Asia/Tokyo"][number % 3];
    async move {
        let params = [
            ("user", user.as_str()),
            ("database", database.as_str()),
            ("options", options.as_str()),
            ("timezone", zone),
        ];
        Wire::login(port, &password, &params).await
    }
}

/// What clients find.
pub(super) async fn prepare(wire: impl Future<Output = Result<Wire, NoLogin>>) -> Result<(), String> {
    let mut wire = wire.await.map_err(|why| why.to_string())?;
    send(&mut wire, &Say::new().query("create table if not exists crowd (v text)")).await?;
    while let Some(frame) = wire.read.next().await {
        if frame.tag == b'Z' {
            return Ok(());
        }
    }
    Err("it ended".into())
}

/// How long one statement takes.
pub(super) async fn time(wire: &mut Wire) -> Result<Duration, String> {
    let start = Mono::now();
    send(wire, &Say::new().query("select 'neighbour'")).await?;
    let mut good = false;
    while let Some(frame) = wire.read.next().await {
        good |= frame.tag == b'D';
        if frame.tag == b'Z' {
            return if good { Ok(start.elapsed()) } else { Err("the neighbour got an error".into()) };
        }
    }
    Err("the neighbour's connection ended".into())
}

async fn send(wire: &mut Wire, say: &Say) -> Result<(), String> {
    wire.write.write_all(&say.0).await.map_err(|error| error.to_string())
}

impl Client {
    pub(super) fn new(number: usize, wire: Wire, seed: Seed, shared: Arc<Shared>) -> Self {
        let tag = format!("crowd{number}_");
        Self { number, tag, wire, seed, shared, count: 0, prepared: false, status: b'I' }
    }

    /// Carries orders out until there are none any more.
    pub(super) async fn live(mut self, mut orders: watch::Receiver<(u64, Order)>) {
        let mut last = 0;
        loop {
            let (number, order) = *orders.borrow_and_update();
            if number > last {
                last = number;
                if let Err(why) = self.obey(order).await {
                    return self.shared.fail(format!("client {} ({order:?}): {why}", self.number));
                }
                self.shared.done.fetch_add(1, Ordering::Relaxed);
            }
            if orders.changed().await.is_err() {
                return;
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Rest => Ok(()),
            Order::Ask => match self.simple("").await? {
                Answer::Good => Ok(()),
                Answer::Told => Err("a statement failed in quiet times".into()),
            },
            Order::Load => {
                let active = self.number.is_multiple_of(ACTIVE);
                while self.pause(active).await {
                    self.work().await?;
                }
                Ok(())
            }
            Order::Noise if self.number.is_multiple_of(2) => Ok(()),
            Order::Noise => {
                while !self.shared.over.load(Ordering::Relaxed) {
                    self.simple(", pg_sleep(0.02)").await?;
                }
                Ok(())
            }
        }
    }

    /// Until the next statement; false when it is over.
    async fn pause(&mut self, active: bool) -> bool {
        let ms = if active { self.seed.between(5, 800) } else { self.seed.between(500, 40_000) };
        let until = Mono::now().plus(Duration::from_millis(ms));
        while Mono::now() < until && !self.shared.over.load(Ordering::Relaxed) {
            tokio::time::sleep(until.since(Mono::now()).min(Duration::from_millis(500))).await;
        }
        !self.shared.over.load(Ordering::Relaxed)
    }

    async fn work(&mut self) -> Result<(), String> {
        match self.seed.below(4) {
            0 => self.simple("").await.map(drop),
            1 => self.prepared().await.map(drop),
            2 => self.transaction().await,
            _ => self.setting().await,
        }
    }

    fn mark(&mut self) -> String {
        self.count += 1;
        format!("{}:{}", self.tag, self.count)
    }

    async fn simple(&mut self, more: &str) -> Result<Answer, String> {
        let mark = self.mark();
        self.ask(&Say::new().query(&format!("select '{mark}'{more}")), Some(&mark)).await
    }

    async fn prepared(&mut self) -> Result<Answer, String> {
        let mark = self.mark();
        let mut say = Say::new();
        if !self.prepared {
            say = say.parse("s", "select $1::text");
        }
        let answer = self.ask(&say.bind("", "s", &[&mark]).execute("", 0).sync(), Some(&mark)).await?;
        self.prepared |= matches!(answer, Answer::Good);
        if !self.prepared {
            // Whether it was prepared is not known.
            self.ask(&Say::new().close_statement("s").sync(), None).await?;
        }
        Ok(answer)
    }

    async fn transaction(&mut self) -> Result<(), String> {
        let mark = self.mark();
        self.ask(&Say::new().query("begin"), None).await?;
        tokio::time::sleep(Duration::from_millis(self.seed.below(20))).await;
        self.ask(&Say::new().query(&format!("insert into crowd values ('{mark}')")), None).await?;
        tokio::time::sleep(Duration::from_millis(self.seed.below(20))).await;
        self.ask(&Say::new().query("commit"), None).await?;
        // Who loses a COMMIT is in a failed transaction, as the documentation says, and may lose that end, too.
        for _ in 0..ENDS {
            if self.status == b'I' {
                return Ok(());
            }
            self.ask(&Say::new().query("rollback"), None).await?;
        }
        Err("a transaction that does not end".into())
    }

    async fn setting(&mut self) -> Result<(), String> {
        let mark = self.mark();
        let set = self.ask(&Say::new().query(&format!("set my.mark = '{mark}'")), None).await?;
        if matches!(set, Answer::Good) {
            self.ask(&Say::new().query("show my.mark"), Some(&mark)).await?;
        }
        Ok(())
    }

    /// Sends something that ends with one ReadyForQuery.
    async fn ask(&mut self, say: &Say, wanted: Option<&str>) -> Result<Answer, String> {
        let start = Mono::now();
        send(&mut self.wire, say).await?;
        let heard = tokio::time::timeout(ANSWER_WITHIN, self.hear(wanted)).await;
        let answer = heard.map_err(|_| "no answer".to_owned())??;
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.slowest.fetch_max(ms, Ordering::Relaxed);
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }

    async fn hear(&mut self, wanted: Option<&str>) -> Result<Answer, String> {
        let (mut told, mut rows) = (false, 0);
        while let Some(frame) = self.wire.read.next().await {
            match frame.tag {
                b'D' => {
                    let row = short(&frame).unwrap_or_default();
                    let mark = wanted.unwrap_or("nothing");
                    if !row.starts_with(&format!("D:{mark}")) {
                        return Err(format!("wanted {mark}, got {row}"));
                    }
                    rows += 1;
                }
                b'E' => {
                    let error = ErrorResponse::decode(&frame.body).map_err(|e| e.to_string())?;
                    let code = error.fields.code().to_owned();
                    let text = error.fields.message().to_owned();
                    if !DOCUMENTED.contains(&code.as_str()) {
                        return Err(format!("told {code} {text}"));
                    }
                    if error.fields.is_fatal() {
                        return Err(format!("ended with {code} {text}"));
                    }
                    *self.shared.told.lock().entry(code).or_default() += 1;
                    told = true;
                }
                b'Z' => {
                    self.status = frame.body[0];
                    if !told && wanted.is_some() && rows != 1 {
                        return Err(format!("{rows} rows instead of one"));
                    }
                    return Ok(if told { Answer::Told } else { Answer::Good });
                }
                _ => {}
            }
        }
        Err("the connection ended without a word".into())
    }
}
