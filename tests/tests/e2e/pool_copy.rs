//! COPY through the pool, where it is not simple: behind something that the pool waits for, and with an error before
//! PostgreSQL reads the data. And clients that go while they are not listened to.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::note;
use dormouse_tests::pooled::{PASSWORD, Pooler};
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};

use crate::pool_wire::{Say, exchange, replies};

/// A client that has gone must be noticed within this time, not listened to as it may be.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

/// A client that says at its login what work_mem shall be, as many drivers say something.
async fn client(pooler: &Pooler) -> Raw {
    let mut raw = Raw::open(pooler.port()).await;
    let options = "-c work_mem=5MB";
    let params = [("user", "postgres"), ("database", "postgres"), ("options", options)];
    raw.login(&startup(PROTOCOL_3_0, &params), PASSWORD).await.unwrap();
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_is_reset_and_data_is_copied_in_one_text() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    pooler.foreign.sql("postgres", "create table copied (v text)");
    let mut raw = client(&pooler).await;
    for (reset, told) in [("reset work_mem", "RESET"), ("set work_mem to default", "SET")] {
        let say = Say::new().query(&format!("{reset}; copy copied from stdin"));
        exchange(&mut raw, &say, &format!("C:{told} G")).await;
        exchange(&mut raw, &Say::new().copy_data("a\nb\n").copy_done(), "C:COPY_2 Z:I").await;
        let all = say.copy_data("c\n").copy_done().query("show work_mem");
        exchange(&mut raw, &all, &format!("C:{told} G C:COPY_1 Z:I T:work_mem D:5MB C:SHOW Z:I")).await;
    }
    let count = Say::new().query("select count(*) from copied");
    exchange(&mut client(&pooler).await, &count, "T:count D:6 C:SELECT_1 Z:I").await;
}

/// Without a word, while its statement runs and the next one waits for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_while_it_waits_does_not_keep_its_backend() {
    let pooler = Pooler::start(&[("default_pool_size", "1")]);
    let (mut raw, mut other) = (client(&pooler).await, client(&pooler).await);
    let waits = Say::new().query("select pg_sleep(600)").query("deallocate all");
    raw.send(&waits.0).await;
    pooler.foreign.sql("postgres", "select 1");
    let start = Mono::now();
    drop(raw);
    exchange(&mut other, &Say::new().query("select 1 as x"), "T:x D:1 C:SELECT_1 Z:I").await;
    assert!(start.elapsed() < NOTICED_WITHIN, "{:?}", start.elapsed());
}

/// Where PostgreSQL lets the data come, or not, and has an error before, while or after it reads any.
const COPIES: [&str; 9] = [
    "copied",
    "copied_view",
    "copied_matview",
    "copied_sequence",
    "copied (v) from stdin with (freeze)",
    "refuses",
    "refuses_late",
    "refuses_rows",
    "copied from stdin with (format binary)",
];

const TABLES: &str = "create table copied (v int); create view copied_view as select * from copied;
    create materialized view copied_matview as select * from copied; create sequence copied_sequence;
    create table refuses (v int); create table refuses_late (v int); create table refuses_rows (v int);
    create function refuse() returns trigger language plpgsql as
        $$ begin perform pg_sleep(tg_argv[0]::float8); raise exception 'no'; end $$;
    create trigger t before insert on refuses for each statement execute function refuse('0');
    create trigger t before insert on refuses_late for each statement execute function refuse('0.2');
    create trigger t before insert on refuses_rows for each row execute function refuse('0');";

/// The series that begins a COPY, and what its client says then: all at once, when it knows that it may, or late.
fn ways(target: &str) -> Vec<Vec<Say>> {
    let text =
        if target.contains(' ') { format!("copy {target}") } else { format!("copy {target} from stdin") };
    let begin = || Say::new().parse("", &text).bind("", "", &[]).execute("", 0);
    let ends = [
        Say::new().copy_data("1\n").copy_done().sync(),
        Say::new().copy_data("1\n2\n").copy_data("wrong\n").copy_done().sync(),
        Say::new().copy_fail("enough").sync(),
        Say::new().flush().copy_data("1\n").flush().copy_done().sync(),
    ];
    let next = || Say::new().parse("next", "select 'next' as x").bind("", "next", &[]).execute("", 0).sync();
    let mut all = vec![vec![Say::new().query(&text)]];
    for end in ends {
        all.push(vec![Say::new().query(&text), end.clone()]);
        all.push(vec![begin().sync(), end.clone()]);
        all.push(vec![begin().sync(), end.clone(), next().close_statement("next").sync()]);
        all.push(vec![begin().flush(), end.clone()]);
        let mut at_once = begin().sync();
        at_once.0.extend(&end.0);
        all.push(vec![at_once.clone()]);
        at_once.0.extend(next().close_statement("next").sync().0);
        all.push(vec![at_once]);
        let mut two = begin().sync().sync();
        two.0.extend(&end.0);
        all.push(vec![two]);
    }
    all
}

/// What is answered to this, up to the answer of a last query.
async fn heard(raw: &mut Raw, way: &[Say], pause: u64) -> Vec<String> {
    let mut all = Vec::new();
    for say in way {
        raw.send(&say.0).await;
        while let Ok(reply) = tokio::time::timeout(Duration::from_millis(pause), replies(raw, 1)).await {
            all.extend(reply);
            if all.last().is_some_and(|last| last == "G") {
                break;
            }
        }
    }
    // Whoever still has to end its COPY or its series does so.
    raw.send(&Say::new().copy_fail("over").sync().query("rollback; select 'over'").0).await;
    let over = "D:over";
    while all.last().is_none_or(|last| last != "closed") && !all.iter().any(|reply| reply == over) {
        all.extend(replies(raw, 1).await);
    }
    all.extend(replies(raw, 2).await);
    all
}

/// A client that is not through the pool.
async fn direct(pooler: &Pooler) -> Raw {
    let mut raw = Raw::open(pooler.foreign.port()).await;
    let params = [("user", "postgres"), ("database", "postgres")];
    raw.login(&startup(PROTOCOL_3_0, &params), dormouse_tests::foreign::PASSWORD).await.unwrap();
    raw
}

async fn copies_fail_as_they_do(major: u16, pause: u64) {
    let Some(foreign) = Foreign::start(major) else {
        return note(&format!("SKIPPED: PostgreSQL {major} is not installed"));
    };
    let socket = foreign.socket();
    let pooler = Pooler::start_in_front_of(foreign, &socket, &[("default_pool_size", "1")]);
    pooler.foreign.sql("postgres", TABLES);
    let (mut alone, mut pooled, mut other) =
        (direct(&pooler).await, client(&pooler).await, client(&pooler).await);
    for target in COPIES {
        for (number, way) in ways(target).iter().enumerate() {
            for begin in [false, true] {
                let mut way = way.clone();
                if begin {
                    way.insert(0, Say::new().query("begin"));
                }
                let wanted = heard(&mut alone, &way, pause).await;
                let got = heard(&mut pooled, &way, pause).await;
                if wanted.iter().any(|reply| reply == "closed") {
                    (alone, pooled) = (direct(&pooler).await, client(&pooler).await);
                }
                assert_eq!(got, wanted, "{major}: {target}, way {number}, begin: {begin}");
                // Its backend is another's, if that may have it.
                exchange(&mut other, &Say::new().query("select 1 as x"), "T:x D:1 C:SELECT_1 Z:I").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_before_it_reads_fails_as_it_does_directly() {
    for major in [15, 18] {
        copies_fail_as_they_do(major, 5).await;
    }
}
