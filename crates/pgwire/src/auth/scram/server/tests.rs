//! The server's side against known answers, against our own client, and against clients that cheat.

use super::super::client;
use super::super::{Verifier, client::Password};
use super::*;
use crate::backend::AuthenticationSasl;
use crate::sqlstate::SqlState;
use proptest::prelude::*;

const PLAIN_ONLY: [&str; 1] = [SCRAM_SHA_256];

fn known(password: &str) -> Credential {
    Credential::Known(Verifier::derive(password, b"0123456789abcdef", 4))
}

fn binding(byte: u8) -> Option<ChannelBinding> {
    Some(ChannelBinding::tls_server_end_point(vec![byte; 32]))
}

fn initial(mechanism: &str, data: &str) -> SaslInitialResponse {
    SaslInitialResponse { mechanism: mechanism.to_owned(), data: Some(data.as_bytes().to_vec()) }
}

fn challenge_of(reply: Reply) -> SaslContinue {
    match reply {
        Reply::Continue(message) => message,
        Reply::Final(_) => panic!("ended too early"),
    }
}

/// Runs both sides; `offered` is what the client gets to see.
fn run(server: &mut Exchange, client: &mut client::Exchange, offered: &[&str]) -> Result<(), ScramError> {
    let first = client.start(&AuthenticationSasl::new(offered.iter().copied()))?;
    let challenge = challenge_of(server.begin(&first)?);
    match server.respond(&client.respond(&challenge)?)? {
        Reply::Final(last) => client.finish(&last),
        Reply::Continue(_) => panic!("does not end"),
    }
}

#[test]
fn the_example_of_rfc_7677() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let credential = Credential::Known(Verifier::derive("pencil", &salt, 4096));
    let mut server = Exchange::new(credential, None).with_nonce("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(server.mechanisms(), PLAIN_ONLY);
    let challenge = server.begin(&initial(SCRAM_SHA_256, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO")).unwrap();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    assert_eq!(
        challenge_of(challenge).data,
        format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").into_bytes()
    );
    let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert!(!server.is_authenticated());
    let reply = server.respond(&SaslResponse { data: last.into_bytes() }).unwrap();
    assert!(server.is_authenticated());
    let expected = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec();
    assert_eq!(reply, Reply::Final(SaslFinal { data: expected }));
}

#[test]
fn right_passwords_with_and_without_binding() {
    for (server_has, client_has) in
        [(None, None), (binding(1), binding(1)), (binding(1), None), (None, binding(1))]
    {
        let mut server = Exchange::new(known("pässwörd"), server_has);
        let mut client = client::Exchange::new(Password::plain("pässwörd"), client_has);
        let offered = server.mechanisms();
        assert_eq!(run(&mut server, &mut client, offered), Ok(()));
        assert!(server.is_authenticated() && client.is_done());
    }
}

#[test]
fn wrong_password_and_unknown_role_fail_alike() {
    let salts: Vec<_> =
        [known("right"), Credential::doomed(b"secret", "bob"), Credential::doomed(b"secret", "bob")]
            .into_iter()
            .map(|credential| {
                let mut server = Exchange::new(credential, None);
                let mut client = client::Exchange::new(Password::plain("wrong"), None);
                let first = client.start(&AuthenticationSasl::new(PLAIN_ONLY)).unwrap();
                let challenge = challenge_of(server.begin(&first).unwrap());
                let answer = client.respond(&challenge).unwrap();
                let error = server.respond(&answer).unwrap_err();
                assert_eq!(error, ScramError::WrongProof);
                assert_eq!(error.client_error("bob").code, SqlState::INVALID_PASSWORD);
                assert!(!server.is_authenticated());
                assert_eq!(server.respond(&answer), Err(ScramError::OutOfOrder), "no second try");
                let text = String::from_utf8(challenge.data).unwrap();
                text.split(',').nth(1).unwrap().to_owned()
            })
            .collect();
    assert_eq!(salts[1], salts[2], "the salt of an unknown role is always the same");
    assert_eq!(salts[0].len(), salts[1].len());
    let salt = |credential: &Credential| credential.salt().to_vec();
    let bob = salt(&Credential::doomed(b"secret", "bob"));
    assert_ne!(bob, salt(&Credential::doomed(b"secret", "eve")));
    assert_ne!(bob, salt(&Credential::doomed(b"other", "bob")));
    assert_eq!(Credential::doomed(b"secret", "bob").iterations(), Verifier::generate("x").iterations());
}

#[test]
fn a_doomed_role_fails_even_with_a_proof_that_fits_its_keys() {
    let mut server = Exchange::new(Credential::doomed(b"s", "r"), None).with_nonce("S");
    challenge_of(server.begin(&initial(SCRAM_SHA_256, "n,,n=,r=C")).unwrap());
    let last = format!("c=biws,r=CS,p={}", STANDARD.encode([0; 32]));
    assert_eq!(server.respond(&SaslResponse { data: last.into_bytes() }), Err(ScramError::WrongProof));
}

#[test]
fn tampering_is_noticed() {
    let cases = [("r=", "r=x", ScramError::WrongNonce), ("c=biws", "c=eSws", ScramError::WrongBinding)];
    for (from, to, expected) in cases {
        let mut server = Exchange::new(known("p"), None);
        let mut client = client::Exchange::new(Password::plain("p"), None);
        let first = client.start(&AuthenticationSasl::new(PLAIN_ONLY)).unwrap();
        let answer = client.respond(&challenge_of(server.begin(&first).unwrap())).unwrap();
        let data = String::from_utf8(answer.data).unwrap().replacen(from, to, 1).into_bytes();
        assert_eq!(server.respond(&SaslResponse { data }), Err(expected));
    }
    // An extension that was put in later is well formed, but it was not signed.
    let mut server = Exchange::new(known("p"), None);
    let mut client = client::Exchange::new(Password::plain("p"), None);
    let first = client.start(&AuthenticationSasl::new(PLAIN_ONLY)).unwrap();
    let answer = client.respond(&challenge_of(server.begin(&first).unwrap())).unwrap();
    let data = String::from_utf8(answer.data).unwrap().replacen(",p=", ",x=1,p=", 1).into_bytes();
    assert_eq!(server.respond(&SaslResponse { data }), Err(ScramError::WrongProof));
}

#[test]
fn another_certificate_in_between_is_noticed() {
    let mut server = Exchange::new(known("p"), binding(1));
    let mut client = client::Exchange::new(Password::plain("p"), binding(2));
    let offered = server.mechanisms();
    let error = run(&mut server, &mut client, offered).unwrap_err();
    assert_eq!(error, ScramError::WrongBinding);
    assert_eq!(error.client_error("u").code, SqlState::INVALID_AUTHORIZATION);
}

#[test]
fn a_removed_offer_is_noticed() {
    let mut server = Exchange::new(known("p"), binding(1));
    let mut client = client::Exchange::new(Password::plain("p"), binding(1));
    assert_eq!(run(&mut server, &mut client, &PLAIN_ONLY), Err(ScramError::Downgrade));
}

#[test]
fn flags_must_fit_the_mechanism() {
    let plus = SCRAM_SHA_256_PLUS;
    for (mechanism, data) in
        [(plus, "n,,n=,r=C"), (plus, "y,,n=,r=C"), (SCRAM_SHA_256, "p=tls-server-end-point,,n=,r=C")]
    {
        let mut server = Exchange::new(known("p"), binding(1));
        let result = server.begin(&initial(mechanism, data));
        assert!(matches!(result, Err(ScramError::Malformed(_))), "{mechanism} {data}");
    }
    let mut server = Exchange::new(known("p"), None);
    let result = server.begin(&initial(plus, "p=tls-server-end-point,,n=,r=C"));
    assert_eq!(result, Err(ScramError::UnknownMechanism));
    assert_eq!(
        server.begin(&initial(SCRAM_SHA_256, "n,,n=,r=C")),
        Err(ScramError::OutOfOrder),
        "no second try"
    );
}

#[test]
fn a_client_may_wait_for_an_empty_challenge() {
    let mut server = Exchange::new(known("p"), None);
    let mut client = client::Exchange::new(Password::plain("p"), None);
    let first = client.start(&AuthenticationSasl::new(PLAIN_ONLY)).unwrap();
    let empty = server.begin(&SaslInitialResponse { data: None, ..first.clone() }).unwrap();
    assert_eq!(empty, Reply::Continue(SaslContinue { data: vec![] }));
    let challenge = challenge_of(server.respond(&SaslResponse { data: first.data.unwrap() }).unwrap());
    assert!(matches!(server.respond(&client.respond(&challenge).unwrap()), Ok(Reply::Final(_))));
}

#[test]
fn nothing_before_its_time() {
    let mut server = Exchange::new(known("p"), None);
    assert_eq!(server.respond(&SaslResponse { data: b"c=biws".to_vec() }), Err(ScramError::OutOfOrder));
    assert!(!format!("{server:?}").contains("[1"), "no keys in debug output");
}

proptest! {
    #[test]
    fn any_bytes_are_safe_and_get_nobody_in(
        plus in any::<bool>(),
        first in prop_oneof![Just("n,,n=,r=C".to_owned()), "[nyp]?,?,?[a-z]?=?[ -~]{0,20}"],
        last in prop_oneof!["c=biws,r=CS,p=[A-Za-z0-9+/]{43}=", "[ -~\0]{0,60}"],
    ) {
        let mut server = Exchange::new(known("p"), binding(1)).with_nonce("S");
        let mechanism = if plus { SCRAM_SHA_256_PLUS } else { SCRAM_SHA_256 };
        let _ = server.begin(&initial(mechanism, &first));
        let result = server.respond(&SaslResponse { data: last.into_bytes() });
        prop_assert!(!server.is_authenticated() && result.is_err());
    }
}

#[test]
fn a_wrong_proof_tells_what_it_was_made_with() {
    for credential in [known("right"), Credential::doomed(b"secret", "nobody")] {
        let mut server = Exchange::new(credential, None);
        let mut client = client::Exchange::new(Password::plain("a token"), None);
        assert_eq!(run(&mut server, &mut client, &PLAIN_ONLY), Err(ScramError::WrongProof));
        let refused = server.refused().unwrap();
        assert!(refused.was_made_with("a token"));
        assert!(!refused.was_made_with("right") && !refused.was_made_with(""));
    }
    let mut server = Exchange::new(known("right"), None);
    let mut client = client::Exchange::new(Password::plain("right"), None);
    run(&mut server, &mut client, &PLAIN_ONLY).unwrap();
    assert!(server.refused().is_none());
}
