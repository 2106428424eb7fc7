//! Sockets whose messages take both ways, on real shards.

use std::future::poll_fn;
use std::sync::mpsc;
use std::time::Duration;

use dormouse_runtime::shard::Shards;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, UnixStream};

use super::*;
use crate::backend_stream::BackendStream;
use crate::outbox::Outbox;
use crate::stream::ClientStream;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    socket2::SockRef::from(&ours).set_send_buffer_size(16 << 10).unwrap();
    (ours, listener.accept().await.unwrap().0)
}

/// Runs it on a shard. A panic in it is one here.
fn on_a_shard<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let shards = Shards::start(1).unwrap();
    let (tell, told) = mpsc::sync_channel(1);
    shards.spawn(async move { tell.send(work.await).unwrap() });
    told.recv_timeout(Duration::from_secs(60)).expect("it came to its end")
}

/// The two kinds of sockets that sessions post to.
trait Posts: AsyncWrite + Unpin {
    fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool;
    fn take_left(&self) -> Option<Vec<u8>>;
}

impl Posts for ClientStream {
    fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        self.post(cx, bytes)
    }

    fn take_left(&self) -> Option<Vec<u8>> {
        self.take_left()
    }
}

impl Posts for BackendStream {
    fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        self.post(cx, bytes)
    }

    fn take_left(&self) -> Option<Vec<u8>> {
        self.line().and_then(|line| line.take_left())
    }
}

/// Says things as a session does: posted if possible, else written, and what was left over first.
struct Speaker<S> {
    stream: S,
    outbox: Outbox,
    posted: usize,
    left: usize,
}

impl<S: Posts> Speaker<S> {
    fn new(stream: S) -> Self {
        Self { stream, outbox: Outbox::default(), posted: 0, left: 0 }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.all_said().await;
        poll_fn(|cx| {
            if self.stream.post(cx, bytes) {
                self.posted += 1;
                return Poll::Ready(());
            }
            let _kept = self.outbox.poll_chunk(cx, &mut self.stream, bytes);
            Poll::Ready(())
        })
        .await;
    }

    async fn all_said(&mut self) {
        poll_fn(|cx| {
            if let Some(left) = self.stream.take_left() {
                self.outbox.put_first(left);
                self.left += 1;
            }
            self.outbox.poll_send(cx, &mut self.stream)
        })
        .await
        .unwrap();
    }
}

fn numbers(from: u32, count: u32) -> Vec<u8> {
    (from..from + count).flat_map(u32::to_be_bytes).collect()
}

/// Two speakers at once, so that there is company; one of them is heard slowly.
async fn speak(
    many: u32,
    slowly: bool,
    (ours, mut theirs): (impl Posts, impl AsyncRead + Unpin),
) -> (usize, usize) {
    let (others, mut silent) = pair().await;
    let (mut speaker, mut other) = (Speaker::new(ours), Speaker::new(ClientStream::plain(others)));
    let speaks = async {
        let mut at = 0;
        for length in [1, 7, 900, 3000].into_iter().cycle() {
            if at == many {
                break;
            }
            let count = length.min(many - at);
            speaker.say(&numbers(at, count)).await;
            other.say(b"x").await;
            at += count;
            tokio::task::yield_now().await;
        }
        speaker.all_said().await;
        let counts = (speaker.posted, speaker.left);
        drop((speaker, other));
        counts
    };
    let hears = async {
        let mut heard = Vec::new();
        let mut buffer = vec![0; if slowly { 4 << 10 } else { 64 << 10 }];
        loop {
            if slowly {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            match theirs.read(&mut buffer).await.unwrap() {
                0 => return heard,
                count => heard.extend_from_slice(&buffer[..count]),
            }
        }
    };
    let ignores = async {
        let mut all = Vec::new();
        silent.read_to_end(&mut all).await.unwrap();
        assert!(all.iter().all(|byte| *byte == b'x'));
    };
    let (counts, heard, ()) = tokio::join!(speaks, hears, ignores);
    assert!(heard == numbers(0, many), "everything, once, in its order");
    counts
}

#[test]
fn bytes_stay_in_their_order_on_every_way() {
    for unix in [false, true] {
        let said = |many, slowly| async move {
            if unix {
                let (ours, theirs) = UnixStream::pair().unwrap();
                socket2::SockRef::from(&ours).set_send_buffer_size(16 << 10).unwrap();
                speak(many, slowly, (BackendStream::unix(ours).unwrap(), theirs)).await
            } else {
                let (ours, theirs) = pair().await;
                speak(many, slowly, (ClientStream::plain(ours), theirs)).await
            }
        };
        let (posted, _) = on_a_shard(said(200_000, false));
        let (_, left) = on_a_shard(said(400_000, true));
        assert!(posted == 0 || left > 0, "{posted} messages were posted, and each of them was taken");
    }
}

#[test]
fn what_was_posted_goes_before_the_end() {
    let heard = on_a_shard(async {
        let ((ours, mut theirs), (others, _silent)) = (pair().await, pair().await);
        let (mut speaker, mut other) =
            (Speaker::new(ClientStream::plain(ours)), Speaker::new(ClientStream::plain(others)));
        speaker.say(b"last words").await;
        other.say(b"x").await;
        poll_fn(|cx| {
            let ClientStream::Plain(stream) = &mut speaker.stream else { unreachable!("it is plain") };
            poll_shutdown(stream, cx)
        })
        .await
        .unwrap();
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        heard
    });
    assert_eq!(heard, b"last words");
}

#[test]
fn another_thread_waits_for_the_turn() {
    let (tell, told) = mpsc::sync_channel(1);
    let shards = Shards::start(2).unwrap();
    let [one, other] = shards.all().try_into().unwrap();
    one.spawn(async move {
        let ((ours, theirs), (others, silent)) = (pair().await, pair().await);
        let (wire, second) = (Wire::new(ours), Wire::new(others));
        let posted = poll_fn(|cx| Poll::Ready(wire.post(cx, b"first ") && second.post(cx, b"x"))).await;
        tell.send((wire, theirs, posted)).unwrap();
        // The turn is a long one.
        std::thread::sleep(Duration::from_millis(50));
        tokio::task::yield_now().await;
        drop((second, silent));
    });
    let (wire, mut theirs, posted) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    let (tell, told) = mpsc::sync_channel(1);
    other.spawn(async move {
        assert_eq!(wire.line().is_posted(), posted, "it cannot be sent from here");
        assert_eq!(wire.line().settle(), !posted);
        poll_fn(|cx| poll_flush(&wire, cx)).await.unwrap();
        assert!(wire.line().settle());
        let _told = tell.send(raw::send(&*wire, b"second").unwrap());
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), 6);
    let heard = on_a_shard(async move {
        let mut heard = [0; 12];
        let count = if posted { 12 } else { 6 };
        // Its executor has gone with its shard.
        theirs = TcpStream::from_std(theirs.into_std().unwrap()).unwrap();
        theirs.read_exact(&mut heard[..count]).await.unwrap();
        heard[..count].to_vec()
    });
    assert_eq!(heard, if posted { &b"first second"[..] } else { b"second" });
}
