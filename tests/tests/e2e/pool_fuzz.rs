//! The protocol's fuzzer for a few seconds, with a fixed seed. For longer: `cargo run -p dormouse-tests --bin fuzz`.

use dormouse_tests::fuzz::{Options, run};
use dormouse_tests::note;

#[test]
fn whatever_clients_and_servers_say() {
    let options = Options { seconds: 10, clients: 8, ..Options::with_seed(0) };
    match run(&options, 4711) {
        Ok(report) => note(&report.summary),
        Err(why) => panic!("{why}"),
    }
}
