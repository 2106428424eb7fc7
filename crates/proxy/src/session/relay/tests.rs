//! One session between a client and a backend that the test plays, and the gate that it enters and leaves.

use dormouse_pgwire::Encode;
use dormouse_pgwire::backend::ReadyForQuery;
use dormouse_runtime::task::{JoinHandle, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::session::GOODBYE_WITHIN;
use crate::traffic::Ledger;

/// The run of a compute that is woken by opening its gate.
struct Played {
    gate: Arc<Gate>,
    closing: watch::Sender<Option<Closing>>,
}

#[async_trait::async_trait]
impl Compute for Played {
    async fn connect(&self) -> io::Result<BackendStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.closing.subscribe()
    }

    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError> {
        self.gate.open();
        Ok(self.gate.pass().unwrap())
    }
}

/// A session at rest, and who is at its ends.
struct Play {
    client: UnixStream,
    backend: UnixStream,
    run: Arc<Played>,
    session: JoinHandle<()>,
}

impl Play {
    fn new() -> Self {
        let gate = Arc::new(Gate::default());
        gate.open();
        let run = Arc::new(Played { gate, closing: watch::Sender::new(None) });
        let ((client, near), (backend, far)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let tally = Arc::new(Ledger::default()).session(&"ep-a-b-c".parse().unwrap());
        let compute: Arc<dyn Compute> = Arc::clone(&run) as Arc<dyn Compute>;
        let far = BackendStream::unix(far).unwrap();
        let relay = Relay::resumed(ClientStream::Unix(near), far, compute, None, tally);
        let session = Scope::new().spawn("session", async move {
            let _ended = relay.await;
        });
        Self { client, backend, run, session }
    }

    /// What the client says reaches the backend.
    async fn up(&mut self, said: &[u8]) {
        self.client.write_all(said).await.unwrap();
        let mut heard = vec![0; said.len()];
        self.backend.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
    }

    /// And the other way round.
    async fn down(&mut self, said: &[u8]) {
        self.backend.write_all(said).await.unwrap();
        let mut heard = vec![0; said.len()];
        self.client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
    }

    /// Whether the session counts as work, when it has done what there was to do.
    async fn works(&self) -> bool {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.run.gate.look().inside() > 0
    }

    /// What the client is told, up to the end.
    async fn last_words(&mut self) -> String {
        let mut heard = Vec::new();
        let rest = tokio::time::timeout(Duration::from_secs(10), self.client.read_to_end(&mut heard));
        rest.await.unwrap().unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn ready() -> Vec<u8> {
    ReadyForQuery(TxStatus::Idle).encode()
}

#[tokio::test]
async fn what_is_left_of_a_copy_that_failed_is_no_work() {
    let mut play = Play::new();
    play.up(&message(b'Q', b"copy t from stdin\0")).await;
    play.down(&message(b'G', &[0, 0, 0])).await;
    play.up(&message(b'd', b"bad\n")).await;
    assert!(play.works().await);
    play.down(&[message(b'E', b"SERROR\0\0"), ready()].concat()).await;
    assert!(!play.works().await);
    // The rest of the file is on its way still, cut anywhere.
    let rest = [message(b'd', b"good\n"), message(b'd', b"better\n"), message(b'c', b"")].concat();
    for piece in [&rest[..3], &rest[3..7], &rest[7..]] {
        play.up(piece).await;
        assert!(!play.works().await);
    }
    play.up(&message(b'H', b"")).await;
    assert!(!play.works().await, "there is nothing to flush");
    // Asleep it is woken for them, and may sleep again.
    play.run.gate.close();
    play.up(&message(b'f', b"changed my mind\0")).await;
    assert!(!play.works().await);
    play.up(&message(b'Q', b"select 1\0")).await;
    assert!(play.works().await);
    play.down(&ready()).await;
    assert!(!play.works().await);
    play.run.closing.send_replace(Some(Closing::Draining));
    let told = play.last_words().await;
    assert!(told.contains("57P01"), "{told}");
    play.session.await.unwrap();
}

#[tokio::test]
async fn a_pipelined_statement_that_runs_is_work() {
    let mut play = Play::new();
    let step =
        [message(b'P', b"\0select 1\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    play.up(&[step.clone(), step].concat()).await;
    play.down(&[message(b'C', b"SELECT 1\0"), ready()].concat()).await;
    assert!(play.works().await, "the second has not answered");
    play.run.gate.close();
    play.run.closing.send_replace(Some(Closing::Draining));
    assert!(play.works().await);
    play.down(&[message(b'C', b"UPDATE 1\0"), ready()].concat()).await;
    let told = play.last_words().await;
    assert!(told.contains("57P01"), "{told}");
    play.session.await.unwrap();
    assert_eq!(play.run.gate.look().inside(), 0);
}

/// PostgreSQL ignores a Sync while it waits for COPY data, and a query between an error and the next Sync.
#[tokio::test]
async fn what_is_never_answered_is_not_waited_for() {
    let mut play = Play::new();
    let execute = [message(b'P', b"\0copy t from stdin\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat();
    let sync = message(b'S', b"");
    play.up(&[execute.clone(), sync.clone()].concat()).await;
    play.down(&message(b'G', &[0, 0, 0])).await;
    play.up(&[message(b'd', b"1\n"), message(b'c', b""), sync.clone()].concat()).await;
    assert!(play.works().await);
    play.down(&[message(b'C', b"COPY 1\0"), ready()].concat()).await;
    assert!(!play.works().await);
    play.up(&[execute, message(b'Q', b"select 1\0"), sync].concat()).await;
    play.down(&[message(b'E', b"SERROR\0\0"), ready()].concat()).await;
    assert!(!play.works().await);
}

/// Has the client's socket full of a message that has not ended.
async fn fill(play: &mut Play) {
    play.up(&message(b'Q', b"copy big to stdout\0")).await;
    let big = [&[b'd'][..], &0x3fff_ffff_u32.to_be_bytes(), &[0; 32 << 10]].concat();
    let blocked = async {
        play.backend.write_all(&big).await.unwrap();
        loop {
            play.backend.write_all(&[0; 32 << 10]).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), blocked).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_the_next_run() {
    for how in [Closing::Now, Closing::Crashed] {
        let mut play = Play::new();
        fill(&mut play).await;
        assert!(play.works().await);
        play.run.gate.close();
        play.run.closing.send_replace(Some(how));
        let left = tokio::time::timeout(GOODBYE_WITHIN * 2, play.run.gate.emptied());
        assert!(left.await.is_ok(), "{how:?}");
        // The next run, which is not this session's.
        play.run.gate.open();
        let entries = play.run.gate.look().generation();
        play.client.write_all(&message(b'Q', b"select 1\0")).await.unwrap();
        assert!(!play.works().await);
        let mut some = vec![0; 1 << 20];
        play.client.read_exact(&mut some[..256 << 10]).await.unwrap();
        assert!(!play.works().await, "{how:?}");
        assert_eq!(play.run.gate.look().generation(), entries, "{how:?}");
        drop(play.backend);
        play.client.read_to_end(&mut some).await.unwrap();
        play.session.await.unwrap();
    }
}

#[tokio::test]
async fn a_last_word_that_nobody_reads_is_not_waited_for() {
    let mut play = Play::new();
    play.up(&message(b'Q', b"listen news\0")).await;
    play.down(&ready()).await;
    // Whole ones, so that there is room for a word behind each.
    let news = message(b'A', &[0; 1024 - 5]);
    let blocked = async {
        loop {
            play.backend.write_all(&news).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), blocked).await.is_err());
    assert!(!play.works().await);
    play.run.gate.close();
    play.run.closing.send_replace(Some(Closing::Now));
    tokio::time::timeout(GOODBYE_WITHIN * 2, play.session).await.unwrap().unwrap();
    assert_eq!(play.run.gate.look().inside(), 0);
}
