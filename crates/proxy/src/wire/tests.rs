//! Sockets whose messages take both ways, on real shards.

use std::future::poll_fn;
use std::pin::Pin;
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
}

impl<S: Posts> Speaker<S> {
    fn new(stream: S) -> Self {
        Self { stream, outbox: Outbox::default() }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.all_said().await;
        poll_fn(|cx| {
            if self.stream.post(cx, bytes) {
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
async fn speak(many: u32, slowly: bool, (ours, mut theirs): (impl Posts, impl AsyncRead + Unpin)) {
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
        drop((speaker, other));
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
    let ((), heard, ()) = tokio::join!(speaks, hears, ignores);
    assert!(heard == numbers(0, many), "everything, once, in its order");
}

#[test]
fn bytes_stay_in_their_order_on_every_way() {
    for unix in [false, true] {
        let said = |many, slowly| async move {
            if unix {
                let (ours, theirs) = UnixStream::pair().unwrap();
                socket2::SockRef::from(&ours).set_send_buffer_size(16 << 10).unwrap();
                speak(many, slowly, (BackendStream::unix(ours).unwrap(), theirs)).await;
            } else {
                let (ours, theirs) = pair().await;
                speak(many, slowly, (ClientStream::plain(ours), theirs)).await;
            }
        };
        on_a_shard(said(200_000, false));
        on_a_shard(said(400_000, true));
    }
}

/// Fills a socket and posts: then what was left, something behind it, and what the other end has heard of all.
async fn post_to_a_full_one(
    ours: impl Posts,
    mut theirs: impl AsyncRead + Unpin,
) -> (Option<Vec<u8>>, Vec<u8>) {
    let mut speaker = Speaker::new(ours);
    poll_fn(|cx| {
        while let Poll::Ready(written) = Pin::new(&mut speaker.stream).poll_write(cx, &[b'f'; 4096]) {
            assert!(written.unwrap() > 0);
        }
        Poll::Ready(())
    })
    .await;
    speaker.say(b"posted ").await;
    tokio::task::yield_now().await;
    let left = speaker.stream.take_left();
    if let Some(left) = left.clone() {
        speaker.outbox.put_first(left);
    }
    speaker.outbox.add(b"behind");
    let says = async {
        speaker.all_said().await;
        drop(speaker);
    };
    let mut heard = Vec::new();
    let hears = theirs.read_to_end(&mut heard);
    let ((), read) = tokio::join!(says, hears);
    read.unwrap();
    (left, heard)
}

#[test]
fn what_a_full_socket_has_left_comes_before_what_is_said_next() {
    let (left, heard) = on_a_shard(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        post_to_a_full_one(BackendStream::unix(ours).unwrap(), theirs).await
    });
    assert!(heard.ends_with(b"fposted behind"));
    if on_a_shard(can_post()) {
        assert_eq!(left.as_deref(), Some(&b"posted "[..]));
    }
    // The other end's buffer may grow meanwhile, and then nothing is left.
    let (_, heard) = on_a_shard(async {
        let (ours, theirs) = pair().await;
        post_to_a_full_one(ClientStream::plain(ours), theirs).await
    });
    assert!(heard.ends_with(b"fposted behind"));
}

/// Whether there is io_uring.
async fn can_post() -> bool {
    tokio::task::yield_now().await;
    let (ours, _theirs) = pair().await;
    let wire = Wire::new(ours);
    poll_fn(|cx| Poll::Ready(wire.post(cx, b"x"))).await
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
    let (seen, looked) = mpsc::sync_channel(1);
    let shards = Shards::start(2).unwrap();
    let [one, other] = shards.all().try_into().unwrap();
    one.spawn(async move {
        let ((ours, theirs), (others, silent)) = (pair().await, pair().await);
        let (wire, second) = (Wire::new(ours), Wire::new(others));
        let posted = poll_fn(|cx| Poll::Ready(wire.post(cx, b"first ") && second.post(cx, b"x"))).await;
        tell.send((wire, theirs, posted)).unwrap();
        // The turn is a long one.
        looked.recv_timeout(Duration::from_secs(20)).unwrap();
        tokio::task::yield_now().await;
        drop((second, silent));
    });
    let (wire, mut theirs, posted) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    let (tell, told) = mpsc::sync_channel(1);
    other.spawn(async move {
        assert_eq!(wire.line().is_posted(), posted, "it cannot be sent from here");
        assert_eq!(wire.line().settle(), !posted);
        seen.send(()).unwrap();
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
