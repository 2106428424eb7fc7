//! A crowd of pooled clients while their compute is killed, suspended, paused and restarted. With ten thousand:
//! `cargo run -p dormouse-tests --bin crowd`.

use dormouse_tests::crowd::{Options, run};
use dormouse_tests::note;

#[test]
fn hundreds_of_clients_outlive_whatever_happens_to_their_compute() {
    let options = Options { seconds: 8, clients: 600, ..Options::with_seed(0) };
    match run(&options, 4711) {
        Ok(report) => note(&report.summary),
        Err(why) => panic!("{why}"),
    }
}
