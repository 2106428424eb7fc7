//! The life of a session of the console.

use super::*;
use dormouse_base::clock;

fn doorman() -> Doorman {
    Doorman::new(Path::new("/data"))
}

fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_cookie_counts_only_with_the_header() {
    let doorman = doorman();
    let (token, header) = (token(), dormouse_api::console::HEADER);
    let cookie = || ("cookie", format!("a=b; {}={}; c=d", doorman.cookie, token.expose()));
    let lent = |pairs: &[(&'static str, String)]| {
        let mut headers = headers(pairs);
        doorman.lend(&mut headers);
        headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
    };
    let good = Some(format!("Bearer {}", token.expose()));
    let site = |site: &str| ("sec-fetch-site", site.to_owned());
    let own = || (header, "1".to_owned());
    assert_eq!(lent(&[cookie(), own()]), good);
    assert_eq!(lent(&[cookie(), own(), site("same-origin")]), good);
    assert_eq!(lent(&[cookie()]), None);
    assert_eq!(lent(&[own()]), None);
    assert_eq!(lent(&[cookie(), own(), site("same-site")]), None);
    assert_eq!(lent(&[cookie(), own(), site("cross-site")]), None);
    let other = Doorman::new(Path::new("/other"));
    assert_eq!(lent(&[("cookie", format!("{}={}", other.cookie, token.expose())), own()]), None);
    // Who shows a key means it.
    let key = ("authorization", "Bearer dm_x".to_owned());
    assert_eq!(lent(&[cookie(), own(), key]), Some("Bearer dm_x".to_owned()));
}

#[test]
fn a_session_ends_when_it_is_idle_or_old() {
    let now = clock::now();
    let session = Session {
        key: ApiKeyId::generate(),
        name: "ci".to_owned(),
        project: None,
        used_at: now,
        expires_at: now + LIFE,
    };
    assert!(session.is_alive(now) && session.is_alive(now + IDLE - SignedDuration::from_secs(1)));
    assert!(!session.is_alive(now + IDLE));
    let busy = Session { used_at: now + LIFE, ..session };
    assert!(!busy.is_alive(now + LIFE));
}

#[test]
fn a_code_is_good_once_and_for_minutes() {
    let (doorman, now, key) = (doorman(), clock::now(), ApiKeyId::generate());
    let (code, _) = doorman.issue(key.clone(), now);
    assert_eq!(doorman.redeem("nonsense", now), None);
    assert_eq!(doorman.redeem(code.expose(), now), Some(key.clone()));
    assert_eq!(doorman.redeem(code.expose(), now), None);
    let (late, until) = doorman.issue(key.clone(), now);
    assert_eq!(doorman.redeem(late.expose(), until), None);
    let first = doorman.issue(key.clone(), now).0;
    for _ in 0..MAX_CODES {
        let _code = doorman.issue(key.clone(), now);
    }
    assert_eq!(doorman.redeem(first.expose(), now), None, "the oldest make room");
}

#[test]
fn who_fails_too_often_waits() {
    let (doorman, now) = (doorman(), Mono::now());
    let one: IpAddr = "2001:db8::1".parse().unwrap();
    let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
    let other: IpAddr = "192.0.2.1".parse().unwrap();
    for _ in 0..MAX_FAILURES {
        assert!(doorman.may_try(one, now));
        doorman.failed(one, now);
    }
    assert!(!doorman.may_try(one, now) && !doorman.may_try(neighbour, now));
    assert!(doorman.may_try(other, now));
    assert!(doorman.may_try(one, now.plus(FAILURE_WINDOW)));
    // With more sources than there is room for, the rest share one count, and those that are counted go on.
    for n in 0..2 * u32::try_from(MAX_SOURCES).unwrap() {
        doorman.failed(IpAddr::V4((n + 1).into()), now);
    }
    assert!(doorman.failures.lock().len() <= MAX_SOURCES + 1);
    assert!(!doorman.may_try("203.0.113.1".parse().unwrap(), now));
}

#[test]
fn a_cookie_is_hidden_from_scripts_and_from_other_sites() {
    let (doorman, token) = (doorman(), token());
    let set = doorman.set_cookie(Some(&token), true);
    assert!(
        set.contains("; HttpOnly; SameSite=Strict; Max-Age=604800; Secure") && set.contains(token.expose())
    );
    assert!(!doorman.set_cookie(Some(&token), false).contains("Secure"));
    assert!(
        doorman.set_cookie(None, false).contains("=; Path=/;")
            && doorman.set_cookie(None, false).contains("Max-Age=0")
    );
}
