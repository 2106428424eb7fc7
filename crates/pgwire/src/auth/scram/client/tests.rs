//! The client's side: the RFC's example, prepared keys, and servers that cheat.

use super::*;
use proptest::prelude::*;

fn offer() -> AuthenticationSasl {
    AuthenticationSasl::new([SCRAM_SHA_256])
}

fn rfc_client(password: Password) -> Exchange {
    Exchange::new(password, None).with_nonce("rOprNGfwEbeRWgbNEkqO").with_user("user")
}

const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

fn challenge(text: &str) -> SaslContinue {
    SaslContinue { data: text.as_bytes().to_vec() }
}

fn last(text: &str) -> SaslFinal {
    SaslFinal { data: text.as_bytes().to_vec() }
}

#[test]
fn the_example_of_rfc_7677_with_password_and_with_prepared_keys() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    for password in
        [Password::plain("pencil"), Password::Salted(SaltedPassword::derive("pencil", &salt, 4096))]
    {
        let mut client = rfc_client(password);
        let first = client.start(&offer()).unwrap();
        assert_eq!(first.data.unwrap(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let answer = client.respond(&challenge(CHALLENGE)).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(answer.data).unwrap(), expected);
        assert_eq!(client.finish(&last("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Ok(()));
        assert!(client.is_done());
    }
}

#[test]
fn what_a_clients_proof_leaves_is_good_for_the_same_verifier_only() {
    use super::super::server::{Exchange as Server, Reply};
    use super::super::{Credential, Verifier};
    let login = |verifier: &Verifier, password: Password| -> Result<Server, ScramError> {
        let mut server = Server::new(Credential::Known(verifier.clone()), None);
        let mut client = Exchange::new(password, None);
        let Reply::Continue(challenge) = server.begin(&client.start(&offer())?)? else { panic!("too soon") };
        let Reply::Final(last) = server.respond(&client.respond(&challenge)?)? else { panic!("too late") };
        client.finish(&last)?;
        Ok(server)
    };
    let verifier = Verifier::derive("pencil", b"salt", 7);
    let first = login(&verifier, Password::plain("pencil")).unwrap();
    let keys = first.login_keys().unwrap();
    assert!(login(&verifier, Password::Keys(keys.clone())).is_ok());
    for other in [Verifier::derive("pencil", b"pepper", 7), Verifier::derive("pencil", b"salt", 8)] {
        assert_eq!(login(&other, Password::Keys(keys.clone())).unwrap_err(), ScramError::KeysDoNotFit);
    }
    let other = Verifier::derive("pen", b"salt", 7);
    assert_eq!(login(&other, Password::Keys(keys)).unwrap_err(), ScramError::WrongProof);
    assert!(Server::new(Credential::Known(verifier), None).login_keys().is_none());
}

#[test]
fn prepared_keys_must_fit_the_servers_verifier() {
    let mut client = rfc_client(Password::Salted(SaltedPassword::derive("pencil", b"other salt", 4096)));
    client.start(&offer()).unwrap();
    assert_eq!(client.respond(&challenge(CHALLENGE)), Err(ScramError::KeysDoNotFit));
}

#[test]
fn a_server_cannot_cheat() {
    for (text, expected) in [
        (CHALLENGE.replacen("r=rOpr", "r=xOpr", 1), ScramError::WrongNonce),
        ("r=rOprNGfwEbeRWgbNEkqO,s=c2FsdA==,i=1".to_owned(), ScramError::WrongNonce),
        (CHALLENGE.replacen("4096", "4000000000", 1), ScramError::TooManyIterations(4_000_000_000)),
    ] {
        let mut client = rfc_client(Password::plain("pencil"));
        client.start(&offer()).unwrap();
        assert_eq!(client.respond(&challenge(&text)), Err(expected), "{text}");
    }
    for (text, expected) in [
        (format!("v={}", STANDARD.encode([0; 32])), ScramError::WrongServerSignature),
        ("e=invalid-proof".to_owned(), ScramError::Refused("invalid-proof".into())),
    ] {
        let mut client = rfc_client(Password::plain("pencil"));
        client.start(&offer()).unwrap();
        client.respond(&challenge(CHALLENGE)).unwrap();
        assert_eq!(client.finish(&last(&text)), Err(expected));
        assert!(!client.is_done());
    }
}

#[test]
fn mechanisms_are_chosen_by_what_both_have() {
    let bound = || Exchange::new(Password::plain("p"), Some(ChannelBinding::tls_server_end_point(vec![1])));
    let both = AuthenticationSasl::new([SCRAM_SHA_256_PLUS, SCRAM_SHA_256]);
    let first = bound().with_nonce("C").start(&both).unwrap();
    assert_eq!(
        (first.mechanism.as_str(), first.data.unwrap()),
        (SCRAM_SHA_256_PLUS, b"p=tls-server-end-point,,n=,r=C".to_vec())
    );
    let first = bound().with_nonce("C").start(&offer()).unwrap();
    assert_eq!((first.mechanism.as_str(), first.data.unwrap()), (SCRAM_SHA_256, b"y,,n=,r=C".to_vec()));
    let mut plain = Exchange::new(Password::plain("p"), None).with_user("a=b,c").with_nonce("C");
    assert_eq!(plain.start(&both).unwrap().data.unwrap(), b"n,,n=a=3Db=2Cc,r=C");
    assert_eq!(plain.start(&both), Err(ScramError::OutOfOrder));
    let mut other = Exchange::new(Password::plain("p"), None);
    assert_eq!(other.start(&AuthenticationSasl::new(["OAUTHBEARER"])), Err(ScramError::NoCommonMechanism));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(first in "(r=C[ -~]{0,9},s=[A-Za-z0-9]{4},i=[0-9]{1,2}|[ -~\0]{0,40})", end in "(v=)?[ -~\0]{0,44}") {
        let mut client = Exchange::new(Password::plain("p"), None).with_nonce("C");
        client.start(&offer()).unwrap();
        let _ = client.respond(&challenge(&first));
        prop_assert!(client.finish(&last(&end)).is_err());
    }
}
