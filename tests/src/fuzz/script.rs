//! What a player says: rounds of messages, drawn from its seed.
//!
//! Most phrases make sense, because what makes none is refused early and shows little. Names and texts are few, so
//! that clients often say the same as others, and prepare under one name what another has under that name too.

use super::session;
use crate::say::Say;
use crate::seed::Seed;

/// The protocol's names of statements; the last two are those of the pool itself.
const STATEMENTS: [&str; 7] = ["", "", "s1", "s2", "S 3", "dormouse_1", "dormouse_none"];

const PORTALS: [&str; 4] = ["", "", "p1", "p2"];

/// A value this long is more than a buffer.
const LONG: usize = 90_000;

/// What happens between two answers that a player waits for.
pub(super) struct Round {
    /// Everything that is sent, without the end.
    pub(super) say: Say,
    /// The same for people.
    pub(super) story: Vec<String>,
}

/// Draws.
pub(super) struct Script {
    pub(super) seed: Seed,
    pub(super) tag: String,
    count: u64,
    in_copy: bool,
    /// In session mode SQL may name what the protocol prepared.
    session: bool,
}

impl Script {
    pub(super) fn new(seed: Seed, tag: &str, session: bool) -> Self {
        Self { seed, tag: tag.to_owned(), count: 0, in_copy: false, session }
    }

    /// The next round.
    pub(super) fn round(&mut self) -> Round {
        let mut round = Round { say: Say::new(), story: Vec::new() };
        self.in_copy = false;
        for _ in 0..self.seed.between(1, 7) {
            self.phrase(&mut round);
        }
        round
    }

    fn mark(&mut self) -> String {
        self.count += 1;
        format!("{}:{}", self.tag, self.count)
    }

    fn phrase(&mut self, round: &mut Round) {
        if self.in_copy {
            return self.copy_data(round);
        }
        match self.seed.below(20) {
            0..7 => {
                let text = self.simple_text();
                self.in_copy = text.starts_with("copy t from");
                round.add(|say| say.query(&text), format!("Q {text:.120}"));
            }
            7..14 => self.extended(round),
            14 => self.call(round),
            15 => round.add(Say::sync, "S".into()),
            _ => self.anything(round),
        }
    }

    /// Parse or not, Bind, Describe or not, Execute, and mostly Sync.
    fn extended(&mut self, round: &mut Round) {
        let name = *self.seed.one_of(&STATEMENTS);
        if self.seed.percent(70) {
            self.parse(name, round);
        }
        if self.seed.percent(20) {
            round.add(|say| say.describe_statement(name), format!("DS {name}"));
        }
        if self.seed.percent(10) {
            round.add(Say::sync, "S".into());
        }
        for _ in 0..self.seed.weighted(&[(6, 1), (1, 0), (2, 2), (1, 5)]) {
            let portal = *self.seed.one_of(&PORTALS);
            self.bind(portal, name, round);
            if self.seed.percent(30) {
                round.add(|say| say.describe_portal(portal), format!("DP {portal}"));
            }
            self.execute(portal, round);
        }
        if self.seed.percent(15) {
            round.add(|say| say.close_statement(name), format!("CS {name}"));
        }
        match self.seed.below(10) {
            0 => {}
            1 => round.add(Say::flush, "H".into()),
            _ => round.add(Say::sync, "S".into()),
        }
    }

    fn parse(&mut self, name: &str, round: &mut Round) {
        let mut text = self.any_text();
        // Who executes by SQL does not go on with data.
        let data = self.session && name == "s2" && text.starts_with("copy");
        if text.starts_with("execute") || text.starts_with("fetch") || data {
            // What these return is known when they are parsed, and then once for all sessions of a backend.
            text = "select $1::text || '' as v".into();
        }
        let types: &[u32] = match self.seed.below(12) {
            0 => &[23],
            1 | 2 => &[25],
            _ => &[],
        };
        round.add(|say| say.parse_typed(name, &text, types), format!("P {name} {text:.120} {types:?}"));
    }

    fn bind(&mut self, portal: &str, name: &str, round: &mut Round) {
        let mark = self.mark();
        let count = self.seed.weighted(&[(6, 1), (3, 0), (1, 2)]);
        let values = vec![mark.as_str(); count];
        round.add(|say| say.bind(portal, name, &values), format!("B {portal} {name} {values:?}"));
    }

    fn execute(&mut self, portal: &str, round: &mut Round) {
        let rows = self.seed.weighted(&[(6, 0), (1, 1), (1, 2)]);
        round.add(|say| say.execute(portal, rows), format!("E {portal} {rows}"));
    }

    /// int4pl(1, 2), or a function that does not exist, by the old fast path.
    fn call(&mut self, round: &mut Round) {
        let oid: u32 = self.seed.weighted(&[(4, 177), (1, 1)]);
        let mut body = oid.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 1, 0, 1, 0, 2]);
        for number in [1_u32, 2] {
            body.extend_from_slice(&4_u32.to_be_bytes());
            body.extend_from_slice(&number.to_be_bytes());
        }
        body.extend_from_slice(&[0, 1]);
        round.add(|say| say.message(b'F', &body), format!("F {oid}"));
    }

    fn copy_data(&mut self, round: &mut Round) {
        let mark = self.mark();
        match self.seed.below(10) {
            0..5 => round.add(|say| say.copy_data(&format!("{mark}\n")), "d".into()),
            5 => round.add(|say| say.copy_data("two\tcolumns\n"), "d wrong".into()),
            6 => round.add(Say::flush, "H".into()),
            7 => {
                self.in_copy = false;
                round.add(|say| say.copy_fail("enough"), "f".into());
            }
            _ => {
                self.in_copy = false;
                round.add(Say::copy_done, "c".into());
            }
        }
    }

    /// A message without sense.
    fn anything(&mut self, round: &mut Round) {
        let (name, portal) = (*self.seed.one_of(&STATEMENTS), *self.seed.one_of(&PORTALS));
        match self.seed.below(10) {
            0 => self.parse(name, round),
            1 => self.bind(portal, name, round),
            2 => self.execute(portal, round),
            3 => round.add(|say| say.describe_statement(name), format!("DS {name}")),
            4 => round.add(|say| say.describe_portal(portal), format!("DP {portal}")),
            5 => round.add(|say| say.close_statement(name), format!("CS {name}")),
            6 => round.add(|say| say.close_portal(portal), format!("CP {portal}")),
            7 => round.add(Say::flush, "H".into()),
            8 => round.add(|say| say.copy_data("stray").copy_done(), "d c".into()),
            _ => round.add(|say| say.copy_fail("stray"), "f".into()),
        }
    }

    fn simple_text(&mut self) -> String {
        let mut text = self.any_text().replace("$1", "'simple'");
        // What resets everything, and then uses a setting of its connection string in the same breath, gets the
        // backend's: see docs/reference/direct-or-pooled.md.
        let stands_alone = |text: &str| text.starts_with("copy") || text == "reset all";
        while self.seed.percent(15) && !stands_alone(&text) {
            let more = self.any_text().replace("$1", "'more'");
            if stands_alone(&more) {
                break;
            }
            text = format!("{text}; {more}");
        }
        text
    }

    /// The protocol's names in SQL.
    fn by_sql(&mut self) -> String {
        match self.seed.below(8) {
            0 => "execute s2".into(),
            1 | 2 => "execute s2('by sql')".into(),
            3 => "deallocate s1".into(),
            4 => "deallocate s2".into(),
            5 => "deallocate all".into(),
            _ => "select name, from_sql from pg_prepared_statements where name in ('s1', 's2', 'S 3') order by 1"
                .into(),
        }
    }

    fn any_text(&mut self) -> String {
        let (mark, tag) = (self.mark(), self.tag.clone());
        let name = *self.seed.one_of(&["a", "b"]);
        match self.seed.below(60) {
            0..4 => format!("select '{mark}' as v"),
            4..8 => "select $1::text || '' as v".into(),
            8 => format!("select '{tag}:' || g as v from generate_series(1, 4) g"),
            9 => "select count(*) as n from t".into(),
            10 => "select v from t order by v limit 3".into(),
            11 => "insert into t values ($1)".into(),
            12 => format!("insert into t values ('{mark}') returning v"),
            13 => "delete from t".into(),
            14 | 15 => "begin".into(),
            16 => "commit".into(),
            17 => "rollback".into(),
            18 => format!("savepoint {name}"),
            19 => format!("rollback to {name}"),
            20 => "select 1 / 0".into(),
            21 => "selec".into(),
            22 | 23 => "copy t from stdin".into(),
            24 => format!("copy (select '{mark}') to stdout"),
            25 => "copy (select 1 / (g - 2) from generate_series(1, 3) g) to stdout".into(),
            26 => format!("set my.{name} = '{mark}'"),
            // What was SET LOCAL is empty afterwards, on the backend where that was, and NULL elsewhere.
            27 => format!("select coalesce(current_setting('my.{name}', true), '') as v"),
            28 => format!("set local my.{name} = '{mark}'"),
            29 => format!("reset my.{name}"),
            30 => format!("select set_config('my.{name}', '{mark}', $1::text is null)"),
            31 => format!("do $$ begin perform set_config('my.{name}', '{mark}', false); end $$"),
            32 => format!("prepare q_{name} as select '{mark}' as v"),
            33 | 34 if self.session && self.seed.percent(70) => self.by_sql(),
            33 => format!("execute q_{name}"),
            34 => format!("deallocate q_{name}"),
            35 => format!("create temp table tt_{name} as select '{mark}'::text as v"),
            36 => format!("select v from tt_{name}"),
            37 => format!("drop table tt_{name}"),
            38 => format!("declare c_{name} cursor with hold for select '{mark}' as v"),
            39 => format!("fetch c_{name}"),
            40 => format!("close c_{name}"),
            41 => self.seldom(),
            42 => String::new(),
            44.. => session::text(&mut self.seed, &mark),
            _ => format!("set datestyle = {}", self.seed.one_of(&["german", "iso", "'sql, dmy'"])),
        }
    }

    fn seldom(&mut self) -> String {
        let mark = self.mark();
        match self.seed.below(12) {
            0 => "deallocate all".into(),
            1 => "discard all".into(),
            2 => format!("select rpad('{mark}', {LONG}, '.') as v"),
            3 => "select date '2001-02-03' as v".into(),
            4 => "listen news".into(),
            5 => "unlisten *".into(),
            6 => "notify news".into(),
            7 => "reset all".into(),
            8 => "select pg_try_advisory_lock(hashtext(current_setting('my.lock')))".into(),
            9 => "select pg_advisory_unlock(hashtext(current_setting('my.lock')))".into(),
            10 => "set role pg_monitor".into(),
            _ => "select 1 as one; select 2 as two".into(),
        }
    }
}

impl Round {
    fn add(&mut self, what: impl FnOnce(Say) -> Say, story: String) {
        self.say = what(std::mem::take(&mut self.say));
        self.story.push(story);
    }
}
