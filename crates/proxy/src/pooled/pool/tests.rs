//! Pools of clients that are mostly only slots, in front of a server that lets everybody in and returns no rows.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pooler::config::ini;
use dormouse_pooler::link::Client;
use dormouse_pooler::pool::{Farewell, Lease};
use dormouse_pooler::settings::Settings;
use dormouse_runtime::shard::{Shard, Shards};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::cancel::Registry;
use crate::pooled::Order;
use crate::pooled::client_info::ClientInfo;
use crate::pooled::held::Held;
use crate::pooled::listeners::Listeners;
use crate::pooled::pool::{Pool, Taken};
use crate::pooled::pools::Pools;
use crate::pooled::session::Session;
use crate::pooled::slot::{Given, Slot};
use crate::session::io::Client as Connection;
use crate::stream::ClientStream;
use crate::upstream::{Encryption, Lists, Plan, Upstream};

/// What comes sooner than any retry, reminder or limit of time that is set here.
const SOON: Duration = Duration::from_secs(1);

/// AuthenticationOk and ReadyForQuery.
const WELCOME: [u8; 15] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0, b'Z', 0, 0, 0, 5, b'I'];

/// CommandComplete and ReadyForQuery.
const DONE: [u8; 20] = *b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I";

struct World {
    upstream: Upstream,
    pools: Pools,
    shards: Shards,
    /// So many of the first connections to the server get no answers any more.
    silent: Arc<AtomicUsize>,
    _mute: std::net::TcpListener,
}

impl World {
    /// The databases `a` and `b` of a server, `dead` of one that is away, and `mute` of one that does not answer.
    fn new(settings: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mute_port = mute.local_addr().unwrap().port();
        let text = format!(
            "[databases]\na = host=127.0.0.1 port={port}\nb = host=127.0.0.1 port={port}\n\
             dead = host=127.0.0.1 port=1\nmute = host=127.0.0.1 port={mute_port}\n[pgbouncer]\nserver_tls_sslmode = disable\n{settings}\n"
        );
        let ini = ini::parse(&text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into()));
        let plan = Plan::new(ini.unwrap(), Lists::default()).unwrap();
        let encryption = Encryption::load(&plan).unwrap();
        let upstream = Upstream::new(plan, encryption).0;
        let shards = Shards::start(1).unwrap();
        let shard = shards.all()[0].clone();
        let silent = Arc::new(AtomicUsize::new(0));
        shards.all()[0].spawn(serve(listener, shard, Arc::clone(&silent)));
        let listeners = Arc::new(Listeners::new(Arc::new(upstream.clone())));
        let pools = Pools::new(shards.all(), listeners, upstream.settings());
        Self { upstream, pools, shards, silent, _mute: mute }
    }

    fn pool(&self, database: &str) -> Arc<Pool> {
        let entry = self.upstream.database(database).unwrap();
        self.pools.get(self.upstream.key(&entry, database, "anna"))
    }

    /// A client of this pool with such settings, and its end of the connection.
    async fn client(&self, pool: &Arc<Pool>, settings: Settings) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (there, peer) = listener.accept().await.unwrap();
        let info = Arc::new(ClientInfo::new(self.pools.number(), peer, String::new()));
        let cancel = Registry::default().add_pooled(Arc::clone(&info));
        pool.join(&info);
        let connection = Connection::new(ClientStream::plain(there));
        let link = Client::new(settings, Default::default(), false);
        let mut session = Session::new(Arc::clone(pool), connection, link, info, cancel);
        self.shards.all()[0].spawn(async move {
            session.rehome().unwrap();
            session.await;
        });
        client
    }
}

async fn serve(listener: std::net::TcpListener, shard: Shard, silent: Arc<AtomicUsize>) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else { return };
        shard.spawn(answer(client, number, Arc::clone(&silent)));
    }
}

async fn answer(mut client: TcpStream, number: usize, silent: Arc<AtomicUsize>) {
    let (mut heard, mut answer) = ([0; 1024], &WELCOME[..]);
    while client.read(&mut heard).await.is_ok_and(|read| read > 0) {
        if number >= silent.load(Ordering::Relaxed) && client.write_all(answer).await.is_err() {
            return;
        }
        answer = &DONE;
    }
}

/// A client comes, and waits.
fn come(pool: &Arc<Pool>) -> Arc<Slot> {
    match pool.checkout(Mono::now()) {
        Ok(Taken::Later(_, slot)) => slot,
        Ok(Taken::Now(_)) => panic!("a backend is idle"),
        Err(error) => panic!("refused: {error}"),
    }
}

/// What it gets, if that is soon.
async fn soon(slot: &Slot) -> Option<Given> {
    timeout(SOON, poll_fn(|cx| slot.poll(cx))).await.ok()
}

async fn served(slot: &Slot) -> Lease<Box<Held>> {
    soon(slot).await.expect("a backend comes soon").unwrap()
}

fn leave(pool: &Arc<Pool>, lease: Lease<Box<Held>>) {
    pool.checkin(lease.backend, lease.receipt, Mono::now());
}

#[tokio::test]
async fn what_is_idle_elsewhere_goes_to_who_waits_under_the_cap() {
    let world = World::new("max_user_connections = 2");
    let (a, b) = (world.pool("a"), world.pool("b"));
    let (short, long) = (served(&come(&a)).await, served(&come(&b)).await);
    let waits = come(&b);
    // In the first moment of its wait, of a pool that has one, nobody gives his up.
    sleep(Duration::from_millis(20)).await;
    leave(&a, short);
    let lease = served(&waits).await;
    assert_eq!((a.counts().sv_idle, b.counts().sv_active), (0, 2));
    leave(&b, lease);
    leave(&b, long);
}

#[tokio::test]
async fn what_is_idle_elsewhere_goes_to_who_waited_for_resume() {
    let world = World::new("max_user_connections = 1");
    let (a, b) = (world.pool("a"), world.pool("b"));
    b.obey(Order::Pause);
    let waits = come(&b);
    leave(&a, served(&come(&a)).await);
    b.obey(Order::Resume);
    leave(&b, served(&waits).await);
}

#[tokio::test]
async fn a_server_that_is_away_holds_no_slot_of_a_cap() {
    let world = World::new("max_user_connections = 1\nserver_login_retry = 15");
    let (a, dead) = (world.pool("a"), world.pool("dead"));
    let waits = come(&dead);
    while dead.counts().sv_login > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    leave(&a, served(&come(&a)).await);
    let late = come(&dead);
    assert!(soon(&waits).await.is_none() && soon(&late).await.is_none(), "nobody is refused for that");
}

#[tokio::test]
async fn who_waits_for_resume_is_told_that_and_not_what_pause_interrupted() {
    let world = World::new("query_wait_timeout = 0.5");
    for database in ["mute", "dead"] {
        let pool = world.pool(database);
        let waits = come(&pool);
        sleep(Duration::from_millis(50)).await;
        pool.obey(Order::Pause);
        let error = soon(&waits).await.unwrap().unwrap_err();
        assert_eq!(error, Farewell::StoppedWaitTimeout.as_pgbouncer(), "{database}");
    }
}

#[tokio::test]
async fn what_pause_held_up_refuses_nobody_after_resume() {
    let world = World::new("");
    let pool = world.pool("mute");
    let waits = come(&pool);
    sleep(Duration::from_millis(50)).await;
    // Before the attempt has noticed.
    let attempts = pool.opening();
    let books = pool.lock();
    pool.held_up.send_replace(true);
    std::thread::sleep(Duration::from_millis(50));
    drop(books);
    pool.obey(Order::Resume);
    assert!(soon(&waits).await.is_none(), "it waits for another attempt");
    assert!(pool.counts().sv_login == 1 && pool.opening() != attempts);
}

/// What a client has heard when it was told that it may go on, or that it must go.
async fn heard(client: &mut TcpStream) -> String {
    let (mut heard, mut chunk) = (Vec::new(), [0; 1024]);
    while !heard.ends_with(b"Z\0\0\0\x05I") {
        let read = timeout(2 * SOON, client.read(&mut chunk)).await.expect("an answer comes").unwrap();
        if read == 0 {
            break;
        }
        heard.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// A simple query.
const QUERY: &[u8] = b"Q\0\0\0\x0dselect 1\0";

#[tokio::test]
async fn a_backend_that_does_not_answer_a_check_is_passed_over() {
    let world = World::new(
        "pool_mode = transaction\nserver_check_delay = 0.01\nserver_check_query = check\nquery_wait_timeout = 2",
    );
    let pool = world.pool("a");
    let mut client = world.client(&pool, Settings::default()).await;
    heard(&mut client).await;
    sleep(Duration::from_millis(50)).await;
    client.write_all(QUERY).await.unwrap();
    assert!(heard(&mut client).await.contains("SELECT 0"), "one that answers is used");
    world.silent.store(1, Ordering::Relaxed);
    sleep(Duration::from_millis(50)).await;
    client.write_all(QUERY).await.unwrap();
    assert!(heard(&mut client).await.contains("SELECT 0"));
    // Its client is told first, and then it is given back.
    timeout(2 * SOON, async {
        while pool.counts().sv_active > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is given back");
    let counts = pool.counts();
    assert_eq!(counts.sv_idle + counts.sv_used, 1, "the silent one is closed");
}

#[tokio::test]
async fn who_waits_for_questions_of_ours_waits_no_longer_than_for_a_backend() {
    for limit in ["query_wait_timeout = 0.5", "query_timeout = 0.5"] {
        let world = World::new(&format!("pool_mode = transaction\n{limit}"));
        let pool = world.pool("a");
        let mut client = world.client(&pool, Settings::default()).await;
        heard(&mut client).await;
        world.silent.store(1, Ordering::Relaxed);
        let mut settings = Settings::default();
        settings.set("search_path", "elsewhere").unwrap();
        let mut other = world.client(&pool, settings).await;
        let told = heard(&mut other).await;
        assert!(told.contains(limit.split(' ').next().unwrap()), "{told}");
        assert_eq!(pool.counts().sv_active, 0, "nor is its backend anybody else's");
    }
}
