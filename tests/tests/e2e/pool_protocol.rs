//! The pool's promise, byte by byte: whatever clients say and however they say it, each gets what
//! PostgreSQL would have answered to it alone, and never a byte that was meant for another.
//!
//! | test                       | what is mixed                                                           |
//! |----------------------------|-------------------------------------------------------------------------|
//! | forty_clients              | `pool_mix`: everything that the protocol allows, at random              |
//! | cut_at_every_byte          | one long exchange, cut in two at each place, others busy in the pause   |
//! | in_one_packet              | what must wait for something, and what follows it                       |
//! | garbage_harms_nobody       | clients that say what is not the protocol, beside two that must be well |
//!
//! The same tests pass against PostgreSQL itself (`DORMOUSE_TEST_POOLED=no`), which is how they are known
//! to be right.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::pool_house::House;
use crate::pool_mix::{Dice, Mixer};
use crate::pool_wire::{Say, exchange, hear, replies};

/// Clients of the crowd, and what each of them does.
const CLIENTS: usize = 40;
const TURNS: usize = 40;

/// Clients that send garbage, one after the other.
const GARBAGE: usize = 150;

/// A client that sent garbage is answered or closed within this time, or waited for more and is left.
const PATIENCE: Duration = Duration::from_millis(100);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn forty_clients() {
    let house = House::new();
    runtime().block_on(async {
        let clients = join_all((0..CLIENTS).map(|n| Mixer::new(&house, n))).await;
        join_all(clients.into_iter().map(|client| client.run(TURNS))).await;
        nothing_is_left(&house).await;
    });
    house.assert_clean_log();
}

/// No transaction is open and no lock is held once everybody has gone.
async fn nothing_is_left(house: &House) {
    let client = house.server.try_connect(house.direct()).await.unwrap();
    let left = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'
        and usename = 'app_owner' and state <> 'idle'";
    for _ in 0..100 {
        if client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let what =
        "select string_agg(concat_ws(' ', state, application_name, query), E'\\n') from pg_stat_activity
        where state <> 'idle' and usename = 'app_owner'";
    panic!("still at work: {:?}", client.query_one(what, &[]).await.unwrap().get::<_, Option<String>>(0));
}

/// What is cut: every kind of message, two series, an error, COPY.
fn long_exchange() -> (Say, &'static str) {
    let say =
        Say::new().query("select 'cut' as x").parse("cut", "select $1::text as v").describe_statement("cut");
    let say = say.bind("p", "cut", &["one"]).execute("p", 1).close_portal("p").sync();
    let say = say.parse("", "select 1 / 0").bind("", "", &[]).execute("", 0).flush().sync();
    let say = say.bind("", "cut", &["two"]).describe_portal("").execute("", 0).close_statement("cut").sync();
    let say = say.query("copy pool_cut from stdin").copy_data("a\nb").copy_data("\n").copy_done();
    let wanted = "T:x D:cut C:SELECT_1 Z:I 1 t:25 T:v 2 D:one s 3 Z:I 1 E:22012 Z:I \
        2 T:v D:two C:SELECT_1 3 Z:I G C:COPY_2 Z:I";
    (say, wanted)
}

#[test]
fn cut_at_every_byte() {
    let house = House::new();
    runtime().block_on(async {
        let mut raw = house.raw(&[]).await;
        let mut other = house.raw(&[]).await;
        exchange(&mut raw, &Say::new().query("create table pool_cut (v text)"), "C:CREATE_TABLE Z:I").await;
        let (say, wanted) = long_exchange();
        for cut in 1..say.0.len() {
            raw.send(&say.0[..cut]).await;
            // Others take what is free while half a message is under way.
            let number = cut.to_string();
            let ask = Say::new().parse("cut", "select $1::text").bind("", "cut", &[&number]).execute("", 0);
            let answer = format!("1 2 D:{number} C:SELECT_1 3 Z:I");
            exchange(&mut other, &ask.close_statement("cut").sync(), &answer).await;
            raw.send(&say.0[cut..]).await;
            hear(&mut raw, wanted, &format!("cut at {cut}")).await;
        }
        // And once with each byte in a packet of its own.
        for byte in &say.0 {
            raw.send(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hear(&mut raw, wanted, "byte by byte").await;
        let count = format!("T:count D:{} C:SELECT_1 Z:I", 2 * say.0.len());
        exchange(&mut raw, &Say::new().query("select count(*) from pool_cut"), &count).await;
    });
    house.assert_clean_log();
}

/// What waits for an answer of the pool itself, or for a setting that is put back, sent at once with what follows.
#[test]
fn in_one_packet() {
    let house = House::new();
    runtime().block_on(async {
        let mut raw = house.raw(&[("options", "-c work_mem=77MB")]).await;
        let say = Say::new().parse("s", "select 1").sync();
        exchange(&mut raw, &say, "1 Z:I").await;
        let say = Say::new().close_statement("s").query("deallocate all").query("select 'on' as x");
        exchange(&mut raw, &say, "3 C:DEALLOCATE_ALL Z:I T:x D:on C:SELECT_1 Z:I").await;
        let show = "T:work_mem D:77MB C:SHOW Z:I";
        for (reset, told) in [("reset all", "RESET"), ("set work_mem = default", "SET")] {
            let say = Say::new().query("set work_mem = '5MB'").query(reset).query("show work_mem");
            exchange(&mut raw, &say, &format!("C:SET Z:I C:{told} Z:I {show}")).await;
            let say = Say::new().parse("", reset).bind("", "", &[]).execute("", 0).sync();
            let say = say.query("show work_mem").close_portal("").sync();
            exchange(&mut raw, &say, &format!("1 2 C:{told} Z:I {show} 3 Z:I")).await;
        }
    });
    house.assert_clean_log();
}

/// Something that no client should say.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let whole = long_exchange().0.0;
    let at = dice.roll(whole.len());
    let mut bent = whole.clone();
    match dice.roll(12) {
        0 => bent[at] ^= 1 << dice.roll(8),
        1 => bent.truncate(at),
        2 => drop(bent.remove(at)),
        3 => bent.insert(at, 0),
        4 => bent = (0..200).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect(),
        // Impossible lengths: too small, negative, more than anybody may send.
        5 => bent = b"Q\0\0\0\x03select 1\0".to_vec(),
        6 => bent = b"P\xff\xff\xff\xff".to_vec(),
        7 => bent = b"B\x7f\xff\xff\xffxx".to_vec(),
        // Counts and lengths inside of a message that point out of it.
        8 => bent = Say::new().message(b'B', b"\0\0\0\0\x7f\xff").sync().0,
        9 => bent = Say::new().message(b'P', b"no zero").message(b'D', b"?").message(b'E', b"").sync().0,
        // Messages in the wrong place, and those that only servers send.
        10 => {
            bent = Say::new()
                .copy_data("x\n")
                .copy_done()
                .message(b'p', b"secret\0")
                .message(b'Z', b"I")
                .sync()
                .0;
        }
        _ => bent = Say::new().query("begin; select 1 / 0").message(b'!', b"?").0,
    }
    bent
}

async fn say_garbage(house: &House, dice: &mut Dice) {
    let mut raw = house.raw(&[("application_name", "garbage")]).await;
    if dice.roll(3) == 0 {
        exchange(&mut raw, &Say::new().query("begin"), "C:BEGIN Z:T").await;
    }
    raw.send(&garbage(dice)).await;
    if dice.roll(2) == 0 {
        let _heard = tokio::time::timeout(PATIENCE, replies(&mut raw, 100)).await;
    }
}

/// Two clients that move between backends and must get their own answers all the time.
async fn witness(house: &House, number: usize, over: &AtomicBool) {
    let mut raw = house.raw(&[]).await;
    let text = format!("select 'witness {number} ' || $1::text");
    exchange(&mut raw, &Say::new().parse("w", &text).sync(), "1 Z:I").await;
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let value = turn.to_string();
        let ask = Say::new().bind("", "w", &[&value]).execute("", 0).sync();
        let answer = format!("2 D:witness_{number}_{value} C:SELECT_1 Z:I");
        if turn % 3 == 0 {
            exchange(&mut raw, &Say::new().query("begin"), "C:BEGIN Z:T").await;
            exchange(&mut raw, &ask, &answer.replace("Z:I", "Z:T")).await;
            exchange(&mut raw, &Say::new().query("commit"), "C:COMMIT Z:I").await;
        } else {
            exchange(&mut raw, &ask, &answer).await;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

#[test]
fn garbage_harms_nobody() {
    let house = House::new();
    runtime().block_on(async {
        let mut setup = house.raw(&[]).await;
        exchange(&mut setup, &Say::new().query("create table pool_cut (v text)"), "C:CREATE_TABLE Z:I").await;
        let over = AtomicBool::new(false);
        let vandals = async {
            let lane = |lane: u64| {
                let house = &house;
                async move {
                    let mut dice = Dice(0x6a72_6261 + lane);
                    for _ in 0..GARBAGE / 3 {
                        say_garbage(house, &mut dice).await;
                    }
                }
            };
            join_all((0..3).map(lane)).await;
            over.store(true, Ordering::Relaxed);
        };
        futures_util::future::join3(vandals, witness(&house, 1, &over), witness(&house, 2, &over)).await;
        nothing_is_left(&house).await;
        exchange(&mut setup, &Say::new().query("select 'well' as x"), "T:x D:well C:SELECT_1 Z:I").await;
    });
    house.assert_clean_log();
}
