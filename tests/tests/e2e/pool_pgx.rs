//! pgx, Go's driver, through the pool. Go is not here, so its traffic is replayed from traces that were
//! written by hand from the protocol and pgx's documented modes:
//!
//! | mode             | what is sent                                                                     |
//! |------------------|----------------------------------------------------------------------------------|
//! | cache_statement  | `stmtcache_<hash>`: Parse, Describe S, Sync; later Bind, Describe P, Execute, Sync |
//! | cache_describe   | unnamed: Parse, Describe S, Sync once; then Parse, Bind, Describe P, Execute, Sync |
//! | describe_exec    | unnamed: Parse, Describe S, Sync; then Bind, Describe P, Execute, Sync             |
//! | exec             | Parse with types, Bind, Describe P, Execute, Sync                                 |
//! | simple_protocol  | one query with the values in its text                                            |
//!
//! `describe_exec` needs the unnamed statement to follow the client from one series to the next. A batch
//! is one series for all texts; a context that ends sends a CancelRequest.
//!
//! A trace has a line for each turn: `>` what the client sends, `<` what comes back. `1>` and `2>` are
//! two clients of one pool.

use dormouse_tests::raw::{Raw, prefixed};

use crate::pool_house::{House, pooled};
use crate::pool_wire::{Say, exchange, replies};

/// The hash is of the text, so equal texts have equal names on every client.
const CACHED: &str = "
1> P stmtcache_aa select $1::int4 * 2 ; D S stmtcache_aa ; S
1< 1 t:23 T:?column? Z:I
2> P stmtcache_aa select $1::int4 * 2 ; D S stmtcache_aa ; S
2< 1 t:23 T:?column? Z:I
2> Q begin
2< C:BEGIN Z:T
1> B stmtcache_aa 21 ; D P ; E ; S
1< 2 T:?column? D:42 C:SELECT_1 Z:I
2> B stmtcache_aa 4 ; D P ; E ; S
2< 2 T:?column? D:8 C:SELECT_1 Z:T
1> B stmtcache_aa 22 ; D P ; E ; S
1< 2 T:?column? D:44 C:SELECT_1 Z:I
2> Q commit
2< C:COMMIT Z:I
1> B stmtcache_aa 23 ; D P ; E ; S
1< 2 T:?column? D:46 C:SELECT_1 Z:I
1> C stmtcache_aa ; S
1< 3 Z:I
1> B stmtcache_aa 1 ; D P ; E ; S
1< E:26000 Z:I
2> B stmtcache_aa 5 ; D P ; E ; S
2< 2 T:?column? D:10 C:SELECT_1 Z:I
1> P stmtcache_bb select 1 / $1::int4 ; D S stmtcache_bb ; S
1< 1 t:23 T:?column? Z:I
1> B stmtcache_bb 0 ; D P ; E ; S
1< E:22012 Z:I
1> B stmtcache_bb 1 ; D P ; E ; S
1< 2 T:?column? D:1 C:SELECT_1 Z:I
";

const DESCRIBE_EXEC: &str = "
1> P - select $1::int4 + 100 ; D S - ; S
1< 1 t:23 T:?column? Z:I
2> P - select $1::text || '!' ; D S - ; S
2< 1 t:25 T:?column? Z:I
2> B - two ; D P ; E ; S
2< 2 T:?column? D:two! C:SELECT_1 Z:I
2> Q begin
2< C:BEGIN Z:T
1> B - 5 ; D P ; E ; S
1< 2 T:?column? D:105 C:SELECT_1 Z:I
1> B - 6 ; D P ; E ; S
1< 2 T:?column? D:106 C:SELECT_1 Z:I
2> P - select 'in a transaction' ; D S - ; S
2< 1 t: T:?column? Z:T
2> B - ; D P ; E ; S
2< 2 T:?column? D:in_a_transaction C:SELECT_1 Z:T
2> Q rollback
2< C:ROLLBACK Z:I
1> P - select $1::nonsense ; D S - ; S
1< E:42704 Z:I
1> P - select $1::int4 + 200 ; D S - ; S
1< 1 t:23 T:?column? Z:I
1> B - 7 ; D P ; E ; S
1< 2 T:?column? D:207 C:SELECT_1 Z:I
";

const OTHERS: &str = "
1> P - select $1::int4 ; D S - ; S
1< 1 t:23 T:int4 Z:I
1> P - select $1::int4 ; B - 3 ; D P ; E ; S
1< 1 2 T:int4 D:3 C:SELECT_1 Z:I
2> Q select 'simple protocol'
2< T:?column? D:simple_protocol C:SELECT_1 Z:I
1> P stmtcache_c1 select 1 ; D S stmtcache_c1 ; P stmtcache_c2 select 2 ; D S stmtcache_c2 ; S
1< 1 t: T:?column? 1 t: T:?column? Z:I
1> B stmtcache_c1 ; D P ; E ; B stmtcache_c2 ; D P ; E ; B stmtcache_c1 ; D P ; E ; S
1< 2 T:?column? D:1 C:SELECT_1 2 T:?column? D:2 C:SELECT_1 2 T:?column? D:1 C:SELECT_1 Z:I
1> Q ;
1< I Z:I
1> Q -- ping
1< I Z:I
";

/// One line's messages. `-` is the unnamed statement.
fn say(line: &str) -> Say {
    let name = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    if let Some(sql) = line.strip_prefix("Q ") {
        return Say::new().query(sql);
    }
    line.split(" ; ").fold(Say::new(), |say, message| {
        let words: Vec<&str> = message.trim().split(' ').collect();
        match words[0] {
            "P" => say.parse(&name(words[1]), &words[2..].join(" ")),
            "B" => say.bind("", &name(words[1]), &words[2..]),
            "D" if words[1] == "S" => say.describe_statement(&name(words[2])),
            "D" => say.describe_portal(""),
            "E" => say.execute("", 0),
            "C" => say.close_statement(&name(words[1])),
            "S" => say.sync(),
            other => panic!("no message {other} in a trace"),
        }
    })
}

async fn replay(clients: &mut [Raw; 2], trace: &str) {
    for line in trace.lines().filter(|l| !l.is_empty()) {
        let client = &mut clients[usize::from(line.as_bytes()[0] - b'1')];
        let (turn, rest) = (line.as_bytes()[1], line[2..].trim());
        if turn == b'>' {
            client.send(&say(rest).0).await;
            continue;
        }
        let wanted: Vec<&str> = rest.split(' ').collect();
        assert_eq!(replies(client, wanted.len()).await, wanted, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pgx_traces() {
    let house = House::new();
    // Runtime parameters of its connection string are startup parameters.
    let more = [("search_path", "public, pg_catalog"), ("statement_timeout", "23456"), ("timezone", "UTC")];
    let mut clients = [house.raw(&more).await, house.raw(&[]).await];
    for _ in 0..3 {
        for trace in [CACHED, DESCRIBE_EXEC, OTHERS] {
            replay(&mut clients, trace).await;
        }
        for client in &mut clients {
            exchange(client, &Say::new().query("deallocate all"), "C:DEALLOCATE_ALL Z:I").await;
        }
    }
    let [one, two] = &mut clients;
    exchange(two, &Say::new().query("show statement_timeout"), "T:statement_timeout D:0 C:SHOW Z:I").await;
    exchange(one, &Say::new().query("show statement_timeout"), "T:statement_timeout D:23456ms C:SHOW Z:I")
        .await;
    a_context_that_ends(&house, two).await;
    over_night(&house, clients).await;
    house.assert_clean_log();
}

/// The context of a query ends: a CancelRequest on a connection of its own, then the answer is read.
async fn a_context_that_ends(house: &House, other: &mut Raw) {
    let (mut one, (pid, secret)) = house.raw_with_key(&[]).await;
    one.send(&Say::new().parse("", "select pg_sleep(30)").bind("", "", &[]).execute("", 0).sync().0).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let code = (1234u32 << 16 | 5678).to_be_bytes();
    let mut canceller = Raw::open(house.server.pg_port()).await;
    canceller.send(&prefixed(&[&code, &pid.to_be_bytes()[..], &secret].concat())).await;
    assert_eq!(canceller.rest(std::time::Duration::from_secs(10)).await, b"");
    exchange(&mut one, &Say::new(), "1 2 E:57014 Z:I").await;
    exchange(other, &Say::new().query("select 3 as x"), "T:x D:3 C:SELECT_1 Z:I").await;
    exchange(&mut one, &Say::new().query("select 4 as x"), "T:x D:4 C:SELECT_1 Z:I").await;
}

/// A cached statement is still there in the morning; without a pool the connection is not.
async fn over_night(house: &House, [mut one, mut two]: [Raw; 2]) {
    let cached = Say::new().parse("stmtcache_dd", "select $1::int4").sync();
    exchange(&mut one, &cached, "1 Z:I").await;
    exchange(&mut two, &Say::new().parse("", "select $1::int4 + 1").sync(), "1 Z:I").await;
    house.suspend();
    if !pooled() {
        assert_eq!(replies(&mut one, 1).await, ["E:57P01"]);
        return;
    }
    let use_it = |name| Say::new().bind("", name, &["8"]).execute("", 0).sync();
    exchange(&mut one, &use_it("stmtcache_dd"), "2 D:8 C:SELECT_1 Z:I").await;
    exchange(&mut two, &use_it(""), "2 D:9 C:SELECT_1 Z:I").await;
    exchange(
        &mut one,
        &Say::new().query("show statement_timeout"),
        "T:statement_timeout D:23456ms C:SHOW Z:I",
    )
    .await;
}
