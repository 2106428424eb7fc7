//! A source that connects too fast is told so, and nobody else notices.

use std::net::Ipv4Addr;
use std::time::Duration;

use dormouse_tests::Server;

use super::login_from;

#[tokio::test]
async fn a_source_that_connects_too_fast_is_told_so() {
    let server = Server::start(&["--max-conn-rate", "1"]);
    let (fast, slow) = (Ipv4Addr::new(127, 0, 0, 5), Ipv4Addr::new(127, 0, 0, 6));
    let mut let_in = 0;
    let (code, text, hint) = loop {
        match login_from(&server, fast).await {
            Ok(_) => let_in += 1,
            Err(refused) => break refused,
        }
        assert!(let_in < 30, "no end to it");
    };
    assert!(let_in >= 5, "the burst: {let_in}");
    assert_eq!((code.as_str(), text.contains("too many new connections")), ("53300", true), "{text}");
    assert!(hint.contains("docs/errors/connecting-too-fast.md"), "{hint}");
    let witness = login_from(&server, slow).await.unwrap();
    witness.batch_execute("select 1").await.unwrap();
    // One a second is fine.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    login_from(&server, fast).await.unwrap();
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn zero_is_no_limit() {
    let server = Server::start(&["--max-conn-rate", "0"]);
    for _ in 0..30 {
        login_from(&server, Ipv4Addr::LOCALHOST).await.unwrap();
    }
}
