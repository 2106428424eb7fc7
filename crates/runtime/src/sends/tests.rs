//! Turns of a thread that is no shard, over sockets that the kernel knows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;

/// A socket that keeps what was left.
struct Socket {
    stream: socket2::Socket,
    left: Mutex<Option<Vec<u8>>>,
}

impl Sender for Socket {
    fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn sent(&self, left: &[u8]) -> bool {
        *self.left.lock() = Some(left.to_vec());
        !left.is_empty()
    }
}

fn of(
    ours: impl Into<socket2::Socket>,
    theirs: impl Into<socket2::Socket>,
) -> (Arc<Socket>, socket2::Socket) {
    let (ours, theirs) = (ours.into(), theirs.into());
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Arc::new(Socket { stream: ours, left: Mutex::default() }), theirs)
}

fn pair() -> (Arc<Socket>, socket2::Socket) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    of(ours, theirs)
}

/// One whose socket takes parts of messages.
fn tcp_pair() -> (Arc<Socket>, socket2::Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    of(ours, listener.accept().unwrap().0)
}

fn sender(socket: &Arc<Socket>) -> Arc<dyn Sender> {
    Arc::clone(socket) as Arc<dyn Sender>
}

fn heard(theirs: &mut socket2::Socket) -> Vec<u8> {
    let mut heard = vec![0; 4 * LONGEST];
    let count = theirs.read(&mut heard).unwrap_or_default();
    heard.truncate(count);
    heard
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), Waker::from(woken))
}

/// Runs `work` as a task of a thread that can post. Says so, and does not run it, where the kernel forbids io_uring.
fn on_a_shard(work: impl Future<Output = ()>) {
    if let Err(error) = begin() {
        eprintln!("not tested, there is no io_uring here: {error}");
        return;
    }
    let local = tokio::task::LocalSet::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    local.block_on(&runtime, async {
        #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::task::spawn_local(end_turns());
        tokio::task::yield_now().await;
        work.await;
    });
    TURN.set(None);
}

#[test]
fn a_turn_sends_everything_in_its_order() {
    on_a_shard(async {
        let mut pairs: Vec<_> = (0..5).map(|_| pair()).collect();
        let (woken, waker) = waker();
        for (index, (socket, theirs)) in pairs.iter_mut().enumerate() {
            assert!(post(sender(socket), format!("message {index}").as_bytes(), &waker));
            assert_eq!(heard(theirs), b"", "not before the turn ends");
        }
        tokio::task::yield_now().await;
        for (index, (socket, theirs)) in pairs.iter_mut().enumerate() {
            assert_eq!(heard(theirs), format!("message {index}").as_bytes());
            assert_eq!(socket.left.lock().take(), Some(Vec::new()), "it was told");
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "nobody has to do anything about it");
        // The same again, one alone.
        let (socket, theirs) = &mut pairs[3];
        assert!(post(sender(socket), b"alone", &waker));
        tokio::task::yield_now().await;
        assert_eq!(heard(theirs), b"alone");
    });
}

#[test]
fn a_full_turn_ends_at_once() {
    on_a_shard(async {
        let (_, waker) = waker();
        let mut pairs: Vec<_> = (0..MOST + 1).map(|_| pair()).collect();
        for (socket, _) in &pairs {
            assert!(post(sender(socket), b"hello", &waker));
        }
        let all: Vec<_> = pairs.iter_mut().map(|(_, theirs)| heard(theirs)).collect();
        assert_eq!(all[MOST], b"", "that one is of the next turn");
        assert!(all[..MOST].iter().all(|heard| heard == b"hello"), "{all:?}");
        flush();
        assert_eq!(heard(&mut pairs[MOST].1), b"hello");
    });
}

#[test]
fn what_a_full_socket_does_not_take_is_given_back() {
    on_a_shard(async {
        let ((full, mut theirs), (other, mut others)) = (pair(), pair());
        while (&full.stream).write(&[b'x'; 100]).is_ok() {}
        let (woken, waker) = waker();
        assert!(post(sender(&full), b"too much", &waker) && post(sender(&other), b"fits", &waker));
        tokio::task::yield_now().await;
        assert_eq!(full.left.lock().take().unwrap(), b"too much");
        assert_eq!(other.left.lock().take().unwrap(), b"");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(heard(&mut others), b"fits");
        while !heard(&mut theirs).is_empty() {}
    });
}

#[test]
fn a_part_that_was_taken_is_not_given_back() {
    on_a_shard(async {
        let ((full, mut theirs), (other, _others)) = (tcp_pair(), pair());
        let (_, waker) = waker();
        let (mut posted, mut left) = (0, Vec::new());
        while left.is_empty() {
            posted += LONGEST;
            assert!(post(sender(&full), &[b'y'; LONGEST], &waker) && post(sender(&other), b"", &waker));
            flush();
            left = full.left.lock().take().unwrap();
        }
        let mut got = 0;
        while got < posted - left.len() {
            let more = heard(&mut theirs).len();
            got += more;
            if more == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(heard(&mut theirs), b"", "and not a byte more");
    });
}

#[test]
fn who_has_gone_is_an_answer_and_not_a_signal() {
    on_a_shard(async {
        let ((gone, theirs), (other, mut others)) = (pair(), pair());
        drop(theirs);
        let (woken, waker) = waker();
        assert!(post(sender(&gone), b"hello?", &waker) && post(sender(&other), b"hello", &waker));
        tokio::task::yield_now().await;
        assert_eq!(gone.left.lock().take().unwrap(), b"hello?");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(heard(&mut others), b"hello");
    });
}

#[test]
fn a_socket_is_closed_behind_what_was_posted() {
    on_a_shard(async {
        let ((dropped, mut theirs), (other, _others)) = (pair(), pair());
        let (_, waker) = waker();
        assert!(post(sender(&dropped), b"last words", &waker) && post(sender(&other), b"", &waker));
        drop(dropped);
        tokio::task::yield_now().await;
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"last words");
    });
}

#[test]
fn what_is_long_or_has_no_shard_is_not_taken() {
    let (socket, mut theirs) = pair();
    let (_, waker) = waker();
    assert!(!post(sender(&socket), b"hello", &waker), "this thread has no turns");
    on_a_shard(async {
        assert!(!post(sender(&socket), &[0; LONGEST + 1], &waker));
        assert!(post(sender(&socket), &[b'z'; LONGEST], &waker));
        flush();
        assert_eq!(heard(&mut theirs), [b'z'; LONGEST]);
    });
}

#[test]
fn who_has_no_company_is_not_held_up() {
    let mut company = Company::default();
    for _ in 0..=LONELY {
        assert!(company.may_post());
        company.turn_ends(1);
    }
    for message in 0..ALONE {
        assert!(!company.may_post(), "message {message}");
    }
    assert!(company.may_post(), "it is tried again");
    company.turn_ends(1);
    assert!(!company.may_post(), "for one message, if it is alone");
    for _ in 1..ALONE {
        company.may_post();
    }
    assert!(company.may_post());
    company.turn_ends(2);
    for _ in 0..LONELY {
        assert!(company.may_post(), "there is company");
        company.turn_ends(1);
    }
    company.turn_ends(0);
    assert!(company.may_post());
}
