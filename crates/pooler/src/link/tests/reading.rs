//! A text means what it means to who prepares it: clients with different settings on the same backends.

use std::collections::HashSet;

use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::{Fake, message};
use super::replies;
use crate::settings::{Reported, Settings};

/// A backend whose rows say how a text with a literal was read. It has one setting, which counts as reported or not.
struct Zoned {
    fake: Fake,
    zone: String,
    before: String,
    name: &'static str,
    parsed: usize,
    /// Statements that set it to their parameter.
    calls: HashSet<String>,
}

impl Zoned {
    fn new(name: &'static str) -> Self {
        let (zone, before) = ("server".to_owned(), "server".to_owned());
        Self { fake: Fake::default(), zone, before, name, parsed: 0, calls: HashSet::new() }
    }

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), bytes);
        while let Some((head, _)) = rest.split_first_chunk::<5>() {
            let whole = 1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let (body, after) = (&rest[5..whole], &rest[whole..]);
            rest = after;
            let texts = String::from_utf8_lossy(body).into_owned();
            let body = match head[0] {
                b'P' => {
                    self.parsed += 1;
                    let name = texts.split('\0').next().unwrap().to_owned();
                    if texts.contains("$1") {
                        self.calls.insert(name)
                    } else {
                        self.calls.remove(&name)
                    };
                    texts.replacen('\'', &format!("'{}:", self.zone), 1).into_bytes()
                }
                b'B' => {
                    let mut names = texts.split('\0');
                    if self.calls.contains(names.nth(1).unwrap()) {
                        self.zone = names
                            .rfind(|value| !value.is_empty())
                            .unwrap()
                            .trim_start_matches(char::is_control)
                            .to_owned();
                    }
                    body.to_vec()
                }
                b'Q' => {
                    self.set(&texts);
                    if self.name == "TimeZone" {
                        out.extend(message(b'S', format!("TimeZone\0{}\0", self.zone).as_bytes()));
                    }
                    body.to_vec()
                }
                _ => body.to_vec(),
            };
            out.extend(self.fake.answer(&message(head[0], &body)));
        }
        out
    }

    fn set(&mut self, text: &str) {
        let text = text.trim_end_matches('\0');
        if text == "begin" {
            self.before = self.zone.clone();
        } else if text == "rollback" {
            self.zone = self.before.clone();
        } else if text.starts_with("RESET") {
            self.zone = "server".to_owned();
        } else if let Some((_, call)) = text.split_once("set_config('") {
            self.zone = call.split('\'').nth(2).unwrap().to_owned();
        } else if text.starts_with("set") {
            self.zone = text.rsplit(' ').next().unwrap().to_owned();
        }
    }
}

struct Pool {
    common: Common,
    backends: Vec<(Server, Zoned)>,
}

impl Pool {
    fn new(name: &'static str, backends: usize) -> Self {
        let mut reported = Reported::new();
        if name == "TimeZone" {
            reported.note(name, "server");
        }
        let backend = || (Server::new(TxStatus::Idle, reported.clone()), Zoned::new(name));
        Self { common: Common::new(10), backends: (0..backends).map(|_| backend()).collect() }
    }

    fn client(&self, zone: &str) -> Client {
        let mut startup = Settings::new();
        startup.set(self.backends[0].1.name, zone).unwrap();
        Client::new(startup, Reported::new(), false)
    }

    fn parsed(&self) -> usize {
        self.backends.iter().map(|(_, backend)| backend.parsed).sum()
    }

    /// A client says something to a backend, with its settings, and gets rows.
    fn say(&mut self, at: usize, client: &mut Client, bytes: &[u8]) -> Vec<String> {
        let (server, backend) = &mut self.backends[at];
        let mut got = Vec::new();
        if server.is_idle()
            && let Some(sent) = replay(client, server)
        {
            down(client, server, &mut self.common, &backend.answer(&sent), &mut got).unwrap();
        }
        catch_up(client, server, &mut Vec::new());
        let (mut input, mut out) = (bytes.to_vec(), Vec::new());
        loop {
            out.clear();
            if up(client, server, &mut self.common, &input, &mut out).unwrap() == Sent::AsItIs {
                out.extend_from_slice(&input);
            }
            let answer = backend.answer(&out);
            let mut told = Vec::new();
            if down(client, server, &mut self.common, &answer, &mut told).unwrap().as_it_is {
                told = answer;
            }
            got.extend(told);
            answers(client, server, &mut got);
            input.clear();
            if !client.is_stalled() {
                break;
            }
        }
        let rows = replies(&got).into_iter().filter(|(tag, _)| *tag == 'D');
        rows.map(|(_, row)| String::from_utf8(row).unwrap()).collect()
    }
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn run(name: &str) -> Vec<u8> {
    let bind = message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    [bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

const DAY: &str = "select '2024-06-01'";

#[test]
fn each_client_gets_its_own_midnight() {
    for name in ["TimeZone", "search_path"] {
        let mut pool = Pool::new(name, 1);
        let (mut berlin, mut tokyo) = (pool.client("Berlin"), pool.client("Tokyo"));
        for _ in 0..5 {
            for (client, row) in
                [(&mut berlin, "select 'Berlin:2024-06-01'"), (&mut tokyo, "select 'Tokyo:2024-06-01'")]
            {
                assert_eq!(pool.say(0, client, &[parse("", DAY), run("")].concat()), [row]);
                assert_eq!(pool.say(0, client, &[parse("s", DAY), run("s")].concat()), [row]);
                assert_eq!(pool.say(0, client, &run("s")), [row]);
                pool.say(0, client, &[message(b'C', b"Ss\0"), message(b'S', b"")].concat());
            }
        }
        assert_eq!(pool.parsed(), 4, "each of them without a name, and then once");
    }
}

#[test]
fn who_changes_a_setting_and_prepares_again_gets_what_it_means_now() {
    for name in ["TimeZone", "search_path"] {
        let mut pool = Pool::new(name, 1);
        let mut client = pool.client("Berlin");
        let series = |name: &str| [parse(name, DAY), run(name)].concat();
        for name in ["", "", "", "a"] {
            assert_eq!(pool.say(0, &mut client, &series(name)), ["select 'Berlin:2024-06-01'"]);
        }
        pool.say(0, &mut client, &query(&format!("set {name} to tokyo")));
        for name in ["", "", "", "b"] {
            assert_eq!(pool.say(0, &mut client, &series(name)), ["select 'tokyo:2024-06-01'"]);
        }
        assert_eq!(
            pool.say(0, &mut client, &run("a")),
            ["select 'Berlin:2024-06-01'"],
            "as when it was prepared"
        );
    }
}

#[test]
fn what_is_set_in_one_write_counts_for_what_follows_in_it() {
    for name in ["TimeZone", "search_path"] {
        let mut pool = Pool::new(name, 1);
        let (mut one, mut other) = (pool.client("Berlin"), pool.client("Berlin"));
        let set = query(&format!("set {name} to tokyo"));
        let all = [set, parse("s", DAY), run("s")].concat();
        assert_eq!(pool.say(0, &mut one, &all).last().unwrap(), "select 'tokyo:2024-06-01'");
        for name in ["", "", "t"] {
            let rows = pool.say(0, &mut other, &[parse(name, DAY), run(name)].concat());
            assert_eq!(rows, ["select 'Berlin:2024-06-01'"]);
        }
    }
}

#[test]
fn local_settings_count_up_to_the_end_of_the_transaction() {
    for name in ["TimeZone", "search_path"] {
        let mut pool = Pool::new(name, 1);
        let (mut one, mut other) = (pool.client("Berlin"), pool.client("Berlin"));
        for _ in 0..4 {
            for client in [&mut one, &mut other] {
                for tenant in ["a", "b"] {
                    pool.say(0, client, &query("begin"));
                    pool.say(0, client, &query(&format!("set local {name} to {tenant}")));
                    let rows = pool.say(0, client, &[parse("", DAY), run("")].concat());
                    assert_eq!(rows, [format!("select '{tenant}:2024-06-01'")]);
                    pool.say(0, client, &query("rollback"));
                    let rows = pool.say(0, client, &[parse("", DAY), run("")].concat());
                    assert_eq!(rows, ["select 'Berlin:2024-06-01'"]);
                }
            }
        }
        assert_eq!(pool.parsed(), 6, "three readings, each without a name and then once");
    }
}

#[test]
fn local_settings_that_a_parameter_says_count_as_well() {
    let mut pool = Pool::new("search_path", 1);
    let (mut one, mut other) = (pool.client("Berlin"), pool.client("Berlin"));
    let call = |tenant: &str| {
        let len = u8::try_from(tenant.len()).unwrap();
        let bind = [b"\0\0\0\0\0\x01\0\0\0", &[len][..], tenant.as_bytes(), b"\0\0"].concat();
        let parse = parse("", "select set_config('search_path', $1, true)");
        [parse, message(b'B', &bind), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
    };
    for _ in 0..4 {
        for client in [&mut one, &mut other] {
            for tenant in ["a", "b"] {
                pool.say(0, client, &query("begin"));
                pool.say(0, client, &call(tenant));
                let rows = pool.say(0, client, &[parse("", DAY), run("")].concat());
                assert_eq!(rows, [format!("select '{tenant}:2024-06-01'")]);
                pool.say(0, client, &query("rollback"));
            }
        }
    }
    assert_eq!(pool.parsed(), 6, "the call and two readings, each without a name and then once");
}

#[test]
fn on_another_backend_it_means_what_it_means_now_and_to_others_what_it_meant() {
    let mut pool = Pool::new("TimeZone", 2);
    let (mut one, mut other) = (pool.client("Berlin"), pool.client("Berlin"));
    pool.say(0, &mut one, &[parse("s", DAY), run("s")].concat());
    pool.say(0, &mut one, &query("set TimeZone to tokyo"));
    assert_eq!(pool.say(1, &mut one, &run("s")), ["select 'tokyo:2024-06-01'"]);
    let series = [parse("s", DAY), run("s")].concat();
    assert_eq!(pool.say(1, &mut other, &series), ["select 'Berlin:2024-06-01'"]);
}

#[test]
fn now_is_now_each_time_it_is_parsed() {
    let mut pool = Pool::new("TimeZone", 1);
    let (mut one, mut other) = (pool.client("Berlin"), pool.client("Berlin"));
    let series = |name: &str| [parse(name, "insert into log values ('now')"), run(name)].concat();
    for n in 1..5 {
        pool.say(0, &mut one, &series(""));
        assert_eq!(pool.parsed(), n);
    }
    pool.say(0, &mut one, &series("s"));
    pool.say(0, &mut one, &run("s"));
    pool.say(0, &mut other, &series("s"));
    assert_eq!(pool.parsed(), 6, "each client's own");
    // Nobody else can get them, so they go with their names.
    assert_eq!(pool.backends[0].0.prepared(), 2);
    for client in [&mut one, &mut other] {
        pool.say(0, client, &[message(b'C', b"Ss\0"), message(b'S', b"")].concat());
    }
    assert_eq!(pool.backends[0].0.prepared(), 0);
    pool.say(0, &mut one, &series("s"));
    assert_eq!(pool.parsed(), 7);
}
