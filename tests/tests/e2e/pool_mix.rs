//! One client of the crowd in `pool_protocol`: it knows what PostgreSQL must answer to it, says
//! everything that the protocol allows in random order, and every row that it asks for carries its own
//! name. A row of another client, a statement under the wrong name, a reply too many or too few: each is
//! a difference between two texts.

use std::time::Duration;

use dormouse_tests::raw::{Raw, prefixed};

use crate::pool_house::House;
use crate::pool_wire::{Say, hear};

/// Rows of a result that does not fit one buffer, and bytes of each.
const LONG_ROWS: usize = 300;
const LONG_ROW: usize = 2000;

/// Names that all clients use for different texts.
const NAMES: [&str; 3] = ["s1", "stmt", "S_1"];

/// Small and good enough (xorshift64*): the point is that a failure can be repeated.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }
}

/// A client, and what it knows about its session.
pub(crate) struct Mixer<'a> {
    house: &'a House,
    raw: Raw,
    key: (u32, Vec<u8>),
    tag: String,
    dice: Dice,
    turn: usize,
    /// Which text each of [`NAMES`] stands for, by the turn that prepared it.
    kept: [Option<usize>; NAMES.len()],
}

impl<'a> Mixer<'a> {
    pub(crate) async fn new(house: &'a House, number: usize) -> Self {
        let tag = format!("client{number}");
        let (raw, key) = house.raw_with_key(&[("application_name", &tag)]).await;
        let dice = Dice(0x00d0_5e00 + 7919 * (number as u64 + 1));
        let mut mixer = Self { house, raw, key, tag, dice, turn: 0, kept: [None; NAMES.len()] };
        let table = format!("create table {} (v text)", mixer.tag);
        mixer.turn(Say::new().query(&table), "C:CREATE_TABLE Z:I").await;
        mixer
    }

    /// Does `turns` things.
    pub(crate) async fn run(mut self, turns: usize) {
        for _ in 0..turns {
            self.turn += 1;
            match self.dice.roll(16) {
                0 => self.simple().await,
                1 => self.simple_with_an_error().await,
                2 => self.unnamed().await,
                3 => self.pipeline().await,
                4 => self.pipeline_with_an_error().await,
                5 => self.flush_without_sync().await,
                6 | 7 => self.named().await,
                8 => self.unnamed_across_sync().await,
                9 => self.portals().await,
                10 => self.transaction().await,
                11 => self.copy_in().await,
                12 => self.copy_out().await,
                13 => self.small_things().await,
                14 => self.long_result().await,
                _ if self.dice.roll(6) == 0 => self.cancel().await,
                _ if self.dice.roll(3) == 0 => self.leave_and_come_back().await,
                _ => self.settings().await,
            }
        }
        let drop = format!("drop table {}", self.tag);
        self.turn(Say::new().query(&drop), "C:DROP_TABLE Z:I").await;
        self.raw.send(&Say::new().terminate().0).await;
    }

    /// What this turn's rows hold.
    fn mark(&self, part: usize) -> String {
        format!("{}/{}/{part}", self.tag, self.turn)
    }

    /// Sends in one piece, or cut in random places, and compares the replies.
    async fn turn(&mut self, say: Say, wanted: &str) {
        let mut rest = &say.0[..];
        if self.dice.roll(3) == 0 {
            while rest.len() > 1 && self.dice.roll(6) != 0 {
                let (piece, after) = rest.split_at(1 + self.dice.roll(rest.len() - 1));
                self.raw.send(piece).await;
                rest = after;
                if self.dice.roll(2) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        self.raw.send(rest).await;
        self.hear(wanted).await;
    }

    async fn hear(&mut self, wanted: &str) {
        let about = format!("{} in turn {}", self.tag, self.turn);
        hear(&mut self.raw, wanted, &about).await;
    }

    /// Time in which others may take the backend.
    async fn pause(&mut self) {
        if self.dice.roll(2) == 0 {
            tokio::time::sleep(Duration::from_millis(self.dice.roll(5) as u64)).await;
        }
    }

    async fn simple(&mut self) {
        let (a, b) = (self.mark(1), self.mark(2));
        let one = Say::new().query(&format!("select '{a}' as x"));
        self.turn(one, &format!("T:x D:{a} C:SELECT_1 Z:I")).await;
        let two = Say::new().query(&format!("select '{a}' as x; select '{b}' as y"));
        self.turn(two, &format!("T:x D:{a} C:SELECT_1 T:y D:{b} C:SELECT_1 Z:I")).await;
    }

    async fn simple_with_an_error(&mut self) {
        let a = self.mark(1);
        let say = Say::new().query(&format!("select '{a}' as x; select 1 / 0; select 2"));
        self.turn(say, &format!("T:x D:{a} C:SELECT_1 E:22012 Z:I")).await;
        self.turn(Say::new().query("selec"), "E:42601 Z:I").await;
    }

    async fn unnamed(&mut self) {
        let a = self.mark(1);
        let say = Say::new().parse("", "select $1::text as x").bind("", "", &[&a]);
        let say = say.describe_portal("").execute("", 0).sync();
        self.turn(say, &format!("1 2 T:x D:{a} C:SELECT_1 Z:I")).await;
    }

    /// Many series in one write.
    async fn pipeline(&mut self) {
        let (mut say, mut wanted) = (Say::new(), String::new());
        for part in 0..2 + self.dice.roll(12) {
            let a = self.mark(part);
            if self.dice.roll(3) == 0 {
                say = say.query(&format!("select '{a}' as x"));
                wanted.push_str(&format!("T:x D:{a} C:SELECT_1 Z:I "));
            } else {
                say = say.parse("", &format!("select $1::text || '+' || {part}")).bind("", "", &[&a]);
                say = say.execute("", 0).sync();
                wanted.push_str(&format!("1 2 D:{a}+{part} C:SELECT_1 Z:I "));
            }
        }
        self.turn(say, &wanted).await;
    }

    async fn pipeline_with_an_error(&mut self) {
        let (a, b) = (self.mark(1), self.mark(2));
        let row =
            |say: Say, mark: &str| say.parse("", "select $1::text").bind("", "", &[mark]).execute("", 0);
        let bad = row(Say::new(), &a).parse("", "select 1 / $1::int").bind("", "", &["0"]).execute("", 0);
        // All up to Sync is skipped, even what would prepare a statement.
        let bad = row(bad, "skipped").parse("skipped", "select 1").close_statement("s1").sync();
        let say = row(bad, &b).sync().bind("", "skipped", &[]).execute("", 0).sync();
        let wanted = format!("1 2 D:{a} C:SELECT_1 1 E:22012 Z:I 1 2 D:{b} C:SELECT_1 Z:I E:26000 Z:I");
        self.turn(say, &wanted).await;
    }

    async fn flush_without_sync(&mut self) {
        let a = self.mark(1);
        let say = Say::new().parse("", "select $1::text as x").describe_statement("").flush();
        self.turn(say, "1 t:25 T:x").await;
        self.pause().await;
        self.turn(Say::new().bind("", "", &[&a]).execute("", 0).flush(), &format!("2 D:{a} C:SELECT_1"))
            .await;
        self.pause().await;
        self.turn(Say::new().sync(), "Z:I").await;
    }

    /// Names that others use too. What a name stands for is in `kept`.
    async fn named(&mut self) {
        let (which, a) = (self.dice.roll(NAMES.len()), self.mark(1));
        let name = NAMES[which];
        let text = |turn: usize, tag: &str| format!("select '{tag}/{turn}/' || $1::text as v");
        match (self.kept[which], self.dice.roll(5)) {
            (Some(_), 0) => {
                self.turn(Say::new().parse(name, "select 1").sync(), "E:42P05 Z:I").await;
            }
            (Some(_), 1) => {
                self.kept[which] = None;
                self.turn(Say::new().close_statement(name).sync(), "3 Z:I").await;
                self.turn(Say::new().bind("", name, &[&a]).sync(), "E:26000 Z:I").await;
            }
            (Some(_), 2) => {
                self.kept[which] = None;
                self.turn(Say::new().query(&format!("deallocate \"{name}\"")), "C:DEALLOCATE Z:I").await;
                self.turn(Say::new().describe_statement(name).sync(), "E:26000 Z:I").await;
            }
            (Some(turn), _) => {
                let say = Say::new().bind("", name, &[&a]).execute("", 0);
                let say = say.describe_statement(name).bind("", name, &["b"]).execute("", 0).sync();
                let start = format!("{}/{turn}/", self.tag);
                let wanted = format!("2 D:{start}{a} C:SELECT_1 t:25 T:v 2 D:{start}b C:SELECT_1 Z:I");
                self.turn(say, &wanted).await;
            }
            (None, 0) => {
                self.turn(Say::new().bind("", name, &[&a]).execute("", 0).sync(), "E:26000 Z:I").await;
            }
            (None, 1) => {
                self.turn(Say::new().query("deallocate all"), "C:DEALLOCATE_ALL Z:I").await;
                self.kept = [None; NAMES.len()];
            }
            (None, _) => {
                self.kept[which] = Some(self.turn);
                let say = Say::new().parse(name, &text(self.turn, &self.tag)).describe_statement(name).sync();
                self.turn(say, "1 t:25 T:v Z:I").await;
            }
        }
    }

    async fn unnamed_across_sync(&mut self) {
        let a = self.mark(1);
        let text = format!("select '{a}' || $1::text as v");
        self.turn(Say::new().parse("", &text).describe_statement("").sync(), "1 t:25 T:v Z:I").await;
        for i in ["x", "y", "z"] {
            self.pause().await;
            let say = Say::new().bind("", "", &[i]).describe_portal("").execute("", 0).sync();
            self.turn(say, &format!("2 T:v D:{a}{i} C:SELECT_1 Z:I")).await;
        }
        // A simple query takes the unnamed statement away.
        self.turn(Say::new().query("select 1 as one"), "T:one D:1 C:SELECT_1 Z:I").await;
        self.turn(Say::new().bind("", "", &["x"]).sync(), "E:26000 Z:I").await;
    }

    /// Portals that are read in pieces: inside of one series, and over several in a transaction.
    async fn portals(&mut self) {
        let a = self.mark(1);
        let text = format!("select '{a}:' || g from generate_series(1, 5) g");
        let say = Say::new().parse("", &text).bind("p", "", &[]).execute("p", 2).flush();
        self.turn(say, &format!("1 2 D:{a}:1 D:{a}:2 s")).await;
        self.pause().await;
        self.turn(Say::new().execute("p", 2).flush(), &format!("D:{a}:3 D:{a}:4 s")).await;
        self.turn(Say::new().execute("p", 2).sync(), &format!("D:{a}:5 C:SELECT_1 Z:I")).await;
        // The end of its transaction was the end of the portal.
        self.turn(Say::new().execute("p", 2).sync(), "E:34000 Z:I").await;

        self.turn(Say::new().query("begin"), "C:BEGIN Z:T").await;
        let say = Say::new().parse("", &text).bind("p", "", &[]).execute("p", 3).sync();
        self.turn(say, &format!("1 2 D:{a}:1 D:{a}:2 D:{a}:3 s Z:T")).await;
        self.pause().await;
        self.turn(Say::new().execute("p", 0).sync(), &format!("D:{a}:4 D:{a}:5 C:SELECT_2 Z:T")).await;
        self.turn(Say::new().close_portal("p").sync(), "3 Z:T").await;
        self.turn(Say::new().query("commit"), "C:COMMIT Z:I").await;
    }

    async fn transaction(&mut self) {
        let (a, table) = (self.mark(1), self.tag.clone());
        let count = format!("select count(*) from {table} where v = '{a}'");
        self.turn(Say::new().query("begin"), "C:BEGIN Z:T").await;
        let insert = Say::new().parse("", &format!("insert into {table} values ($1)")).bind("", "", &[&a]);
        self.turn(insert.execute("", 0).sync(), "1 2 C:INSERT_0_1 Z:T").await;
        self.pause().await;
        self.turn(Say::new().query(&count), "T:count D:1 C:SELECT_1 Z:T").await;
        if self.dice.roll(2) == 0 {
            self.turn(Say::new().query("select 1 / 0"), "E:22012 Z:E").await;
            self.pause().await;
            let refused = Say::new().parse("", "select 1").sync().query("select 1");
            self.turn(refused, "E:25P02 Z:E E:25P02 Z:E").await;
            self.turn(Say::new().query("commit"), "C:ROLLBACK Z:I").await;
            self.turn(Say::new().query(&count), "T:count D:0 C:SELECT_1 Z:I").await;
        } else {
            self.turn(Say::new().query("commit and chain"), "C:COMMIT Z:T").await;
            self.turn(Say::new().query("rollback"), "C:ROLLBACK Z:I").await;
            self.turn(Say::new().query(&count), "T:count D:1 C:SELECT_1 Z:I").await;
        }
    }

    async fn copy_in(&mut self) {
        let (a, table) = (self.mark(1), self.tag.clone());
        let copy = format!("copy {table} from stdin");
        self.turn(Say::new().query(&copy), "G").await;
        self.turn(Say::new().copy_data(&format!("{a}\n{a}")), "").await;
        self.pause().await;
        // Flush and Sync mean nothing here.
        let say = Say::new().copy_data("\n").flush().sync().copy_data(&format!("{a}\n")).copy_done();
        self.turn(say, "C:COPY_3 Z:I").await;
        self.turn(Say::new().query(&copy), "G").await;
        self.turn(Say::new().copy_data("x\n").copy_fail("enough"), "E:57014 Z:I").await;
        // The data and the end in the same write as the beginning.
        let say = Say::new().query(&copy).copy_data("a\tb\n").copy_data("c\n").copy_done();
        self.turn(say.query("select 7 as x"), "G E:22P04 Z:I T:x D:7 C:SELECT_1 Z:I").await;
        // By the extended protocol; the first Sync comes while it copies.
        let say = Say::new().parse("", &copy).bind("", "", &[]).execute("", 0).sync();
        self.turn(say, "1 2 G").await;
        self.pause().await;
        self.turn(Say::new().copy_data(&format!("{a}\n")).copy_done().sync(), "C:COPY_1 Z:I").await;
        let count = format!("select count(*) from {table} where v = '{a}'");
        self.turn(Say::new().query(&count), "T:count D:4 C:SELECT_1 Z:I").await;
    }

    async fn copy_out(&mut self) {
        let (a, b) = (self.mark(1), self.mark(2));
        let copy = format!("copy (values ('{a}'), ('{b}')) to stdout");
        self.turn(Say::new().query(&copy), &format!("H d:{a} d:{b} c C:COPY_2 Z:I")).await;
        let say = Say::new().parse("", &copy).bind("", "", &[]).execute("", 0).sync();
        self.turn(say, &format!("1 2 H d:{a} d:{b} c C:COPY_2 Z:I")).await;
        let fails = "copy (select 1 / (g - 2) from generate_series(1, 3) g) to stdout";
        self.turn(Say::new().query(fails), "H d:-1 E:22012 Z:I").await;
    }

    async fn small_things(&mut self) {
        self.turn(Say::new().query("").query(" ; "), "I Z:I I Z:I").await;
        let say = Say::new().parse("", "").bind("", "", &[]).describe_portal("").execute("", 0).sync();
        self.turn(say, "1 2 n I Z:I").await;
        self.turn(Say::new().sync().sync().flush().sync(), "Z:I Z:I Z:I").await;
        self.turn(Say::new().close_statement("never was").close_portal("nor this").sync(), "3 3 Z:I").await;
        self.turn(
            Say::new().describe_portal("no").sync().describe_statement("no").sync(),
            "E:34000 Z:I E:26000 Z:I",
        )
        .await;
        let wrong = Say::new().parse("", "select $1::int").bind("", "", &["1", "2"]).execute("", 0).sync();
        self.turn(wrong, "1 E:08P01 Z:I").await;
        let types = Say::new().parse_typed("", "select $1 as x", &[23]).describe_statement("").sync();
        self.turn(types, "1 t:23 T:x Z:I").await;
    }

    async fn long_result(&mut self) {
        let a = self.mark(1);
        let select =
            format!("select rpad('{a}:' || g, {LONG_ROW}, '.') as x from generate_series(1, {LONG_ROWS}) g");
        let mut wanted = "T:x ".to_owned();
        for g in 1..=LONG_ROWS {
            wanted.push_str(&format!("D:{:.<LONG_ROW$} ", format!("{a}:{g}")));
        }
        wanted.push_str(&format!("C:SELECT_{LONG_ROWS} Z:I"));
        self.turn(Say::new().query(&select), &wanted).await;
    }

    async fn settings(&mut self) {
        let wanted = format!("T:application_name D:{} C:SHOW Z:I", self.tag);
        self.turn(Say::new().query("show application_name"), &wanted).await;
        let own = self.mark(1);
        self.turn(Say::new().query(&format!("set my.mark = '{own}'")), "C:SET Z:I").await;
        self.pause().await;
        let show = Say::new().parse("", "select current_setting('my.mark') as m").bind("", "", &[]);
        self.turn(show.execute("", 0).sync(), &format!("1 2 D:{own} C:SELECT_1 Z:I")).await;
        let local = Say::new().query("begin; set local my.mark = 'local'; commit");
        self.turn(local, "C:BEGIN C:SET C:COMMIT Z:I").await;
        self.turn(Say::new().query("show my.mark"), &format!("T:my.mark D:{own} C:SHOW Z:I")).await;
    }

    /// A cancel by this client's key ends this client's statement.
    async fn cancel(&mut self) {
        self.turn(Say::new().query("select pg_sleep(0)"), "T:pg_sleep D: C:SELECT_1 Z:I").await;
        self.raw.send(&Say::new().query("select pg_sleep(30)").0).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let code = (1234u32 << 16 | 5678).to_be_bytes();
        let mut canceller = Raw::open(self.house.server.pg_port()).await;
        canceller.send(&prefixed(&[&code, &self.key.0.to_be_bytes()[..], &self.key.1].concat())).await;
        assert_eq!(canceller.rest(Duration::from_secs(10)).await, b"");
        self.hear("T:pg_sleep E:57014 Z:I").await;
    }

    /// Breaks off in the middle of something, and comes back with nothing.
    async fn leave_and_come_back(&mut self) {
        let left = Say::new().query("begin").parse("left", "select 'left behind'").sync();
        self.turn(left.query("set application_name = 'left behind'"), "C:BEGIN Z:T 1 Z:T C:SET Z:T").await;
        match self.dice.roll(4) {
            0 => self.raw.send(&Say::new().terminate().0).await,
            1 => self.raw.send(b"Q\0\0\0\x20select").await,
            2 => self.turn(Say::new().query(&format!("copy {} from stdin", self.tag)), "G").await,
            _ => self.raw.send(&Say::new().query("select pg_sleep(0.2)").0).await,
        }
        let (raw, key) = self.house.raw_with_key(&[("application_name", &self.tag)]).await;
        (self.raw, self.key, self.kept) = (raw, key, [None; NAMES.len()]);
        let wanted = format!("T:application_name D:{} C:SHOW Z:I", self.tag);
        self.turn(Say::new().query("show application_name"), &wanted).await;
        for name in ["s1", "left"] {
            self.turn(Say::new().bind("", name, &[]).sync(), "E:26000 Z:I").await;
        }
    }
}
