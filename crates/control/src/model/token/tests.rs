//! Tokens that are good, late, early, misplaced and forged. A new claim gets a row in
//! `it_is_for_one_role_in_one_place`.

use super::*;

const NOW: i64 = 1_800_000_000;

fn key(byte: u8) -> TokenKey {
    TokenKey::new(Secret::new([byte; KEY_LEN]))
}

struct World {
    project: ProjectId,
    branch: BranchId,
    endpoint: EndpointId,
}

impl World {
    fn new() -> Self {
        Self {
            project: ProjectId::generate(),
            branch: BranchId::generate(),
            endpoint: EndpointId::generate(),
        }
    }

    fn claims(&self) -> Claims {
        Claims {
            aud: self.project.clone(),
            sub: "app_owner".to_owned(),
            branch: self.branch.clone(),
            endpoint: Some(self.endpoint.clone()),
            database: Some("app".to_owned()),
            iat: NOW,
            nbf: NOW,
            exp: NOW + DEFAULT_LIFETIME_SECONDS,
            jti: "x".to_owned(),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        let (project, branch, endpoint) = (&self.project, &self.branch, &self.endpoint);
        Wanted { project, branch, endpoint, role: "app_owner", database: "app" }
    }

    fn judge(&self, claims: &Claims, wanted: &Wanted<'_>, seconds: i64) -> Result<(), TokenError> {
        let token = sign(&key(1), claims);
        verify(&key(1), token.expose().as_bytes(), wanted, Timestamp::from_second(seconds).unwrap())
    }
}

#[test]
fn it_is_good_from_its_first_second_to_its_last() {
    let world = World::new();
    let at = |seconds| world.judge(&world.claims(), &world.wanted(), seconds);
    let (begin, end) = (Timestamp::from_second(NOW).unwrap(), NOW + DEFAULT_LIFETIME_SECONDS);
    assert_eq!(at(NOW - MAX_CLOCK_SKEW_SECONDS - 1), Err(TokenError::NotYet(begin)));
    for good in [NOW - MAX_CLOCK_SKEW_SECONDS, NOW, end - 1] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
    assert_eq!(at(end), Err(TokenError::Expired(Timestamp::from_second(end).unwrap())));
}

#[test]
fn it_is_for_one_role_in_one_place() {
    let (world, other) = (World::new(), World::new());
    let judge = |claims: &Claims, wanted: &Wanted<'_>| world.judge(claims, wanted, NOW);
    let (claims, wanted) = (world.claims(), world.wanted());
    assert_eq!(judge(&claims, &Wanted { role: "bert", ..wanted }), Err(TokenError::Role));
    assert_eq!(judge(&claims, &Wanted { project: &other.project, ..wanted }), Err(TokenError::Place));
    assert_eq!(judge(&claims, &Wanted { branch: &other.branch, ..wanted }), Err(TokenError::Place));
    assert_eq!(judge(&claims, &Wanted { endpoint: &other.endpoint, ..wanted }), Err(TokenError::Place));
    let not_this = Err(TokenError::Database("app".to_owned()));
    assert_eq!(judge(&claims, &Wanted { database: "other", ..wanted }), not_this);
    let open = Claims { endpoint: None, database: None, ..claims };
    let elsewhere = Wanted { endpoint: &other.endpoint, database: "other", ..wanted };
    assert_eq!(judge(&open, &elsewhere), Ok(()));
}

#[test]
fn what_this_key_did_not_sign_is_nothing() {
    let world = World::new();
    let token = sign(&key(1), &world.claims());
    let token = token.expose();
    assert_eq!(open(&key(1), token.as_bytes()).unwrap(), world.claims());
    assert_eq!(open(&key(2), token.as_bytes()), Err(TokenError::Revoked));
    assert!(token.len() < 1024, "{}", token.len());
    // Every single changed character.
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(open(&key(1), &bytes).is_err(), "{at}");
    }
    for junk in ["", ".", "..", "a.b.c", "hunter2", "eyJ9.eyJ9.eyJ9", &token[..token.len() - 1]] {
        assert_eq!(open(&key(1), junk.as_bytes()), Err(TokenError::NotOne), "{junk}");
    }
    assert_eq!(open(&key(1), b"\xff.\xff.\xff"), Err(TokenError::NotOne));
}

#[test]
fn a_header_cannot_choose_another_algorithm() {
    let key = key(1);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&World::new().claims()).unwrap());
    for (alg, typ) in [("none", TYPE), ("HS512", TYPE), ("RS256", TYPE), (ALGORITHM, "JWT")] {
        let header = serde_json::json!({"alg": alg, "kid": key.id(), "typ": typ}).to_string();
        let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
        let signature = URL_SAFE_NO_PAD.encode(key.mac(signed.as_bytes()).finalize().into_bytes());
        for token in [format!("{signed}.{signature}"), format!("{signed}.")] {
            assert_eq!(open(&key, token.as_bytes()), Err(TokenError::NotOne), "{alg}");
        }
    }
}
