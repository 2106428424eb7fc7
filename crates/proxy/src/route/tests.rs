//! Each routing form alone, two together, and half-written ones.

use dormouse_pgwire::startup::Startup;

use super::*;

fn params(database: Option<&str>, options: Option<&str>) -> Params {
    let mut params = Startup::new("anna").unwrap().params;
    for (name, value) in [("database", database), ("options", options)] {
        if let Some(value) = value {
            params.set(name, value).unwrap();
        }
    }
    params
}

fn endpoint(id: &str) -> Route {
    Route::Endpoint(id.into())
}

#[test]
fn nothing_means_the_default() {
    let mut p = params(Some("app"), Some("-c geqo=off"));
    let routed = find(Some("localhost"), &mut p).unwrap();
    assert_eq!(routed, Routed { route: Route::Default, mode: None });
    assert_eq!(p.options(), Some("-c geqo=off"), "foreign options are left alone");
}

#[test]
fn by_server_name_pooled_or_not() {
    let routed = find(Some("EP-a-b-c.db.example"), &mut params(None, None)).unwrap();
    assert_eq!(routed, Routed { route: endpoint("ep-a-b-c"), mode: None });
    let routed = find(Some("ep-a-b-c-pooler.db.example"), &mut params(None, None)).unwrap();
    assert_eq!(routed, Routed { route: endpoint("ep-a-b-c"), mode: Some(Pooling::AsSet) });
}

#[test]
fn by_options_and_the_rest_goes_on() {
    let mut p = params(None, Some("endpoint=ep-a-b-c -c geqo=off"));
    assert_eq!(find(None, &mut p).unwrap().route, endpoint("ep-a-b-c"));
    assert_eq!(p.options(), Some("-c geqo=off"));
    let mut p = params(None, Some("endpoint=ep-a-b-c"));
    find(None, &mut p).unwrap();
    assert_eq!(p.options(), None);
}

#[test]
fn by_database_name() {
    let mut p = params(Some("app@dev"), None);
    let routed = find(None, &mut p).unwrap();
    assert_eq!(routed.route, Route::Branch { project: None, branch: "dev".into() });
    assert_eq!(p.database(), Some("app"));
    let mut p = params(Some("app@shop/dev"), None);
    assert_eq!(
        find(None, &mut p).unwrap().route,
        Route::Branch { project: Some("shop".into()), branch: "dev".into() }
    );
    let mut p = params(Some("app@ep-a-b-c-pooler"), None);
    assert_eq!(
        find(None, &mut p).unwrap(),
        Routed { route: endpoint("ep-a-b-c"), mode: Some(Pooling::AsSet) }
    );
}

#[test]
fn forms_must_agree() {
    let mut same = params(None, Some("endpoint=ep-a-b-c"));
    assert!(find(Some("ep-a-b-c.x"), &mut same).is_ok());
    let mut other = params(None, Some("endpoint=ep-x-y-z"));
    assert!(matches!(find(Some("ep-a-b-c.x"), &mut other), Err(RouteError::Differ(..))));
}

#[test]
fn half_a_name_is_an_error() {
    for bad in ["app@", "@dev", "app@/dev", "app@shop/"] {
        assert!(find(None, &mut params(Some(bad), None)).is_err(), "{bad}");
    }
}

#[test]
fn the_password_form() {
    let (routed, password) = from_password(b"endpoint=ep-a-b-c;se;cret").unwrap();
    assert_eq!((routed.route, password), (endpoint("ep-a-b-c"), b"se;cret".as_slice()));
    assert!(from_password(b"endpoint=ep-a-b-c$x").is_some());
    assert!(from_password(b"secret").is_none() && from_password(b"endpoint=;x").is_none());
}

#[test]
fn the_pool_mode_is_taken_out_of_parameters_and_options() {
    let mut p = params(Some("app"), None);
    p.set("pool_mode", "session").unwrap();
    p.set("pgbouncer", "true").unwrap();
    assert_eq!(find(None, &mut p).unwrap().mode, Some(Pooling::Mode(PoolMode::Session)));
    assert_eq!((p.get("pool_mode"), p.get("pgbouncer")), (None, None));
    let mut p = params(Some("app"), Some("pool_mode=statement endpoint=ep-a-b-c"));
    let routed = find(None, &mut p).unwrap();
    assert_eq!(
        routed,
        Routed { route: endpoint("ep-a-b-c"), mode: Some(Pooling::Mode(PoolMode::Statement)) }
    );
    assert_eq!(p.options(), None);
    let mut p = params(None, None);
    p.set("pgbouncer", "true").unwrap();
    assert_eq!(find(None, &mut p).unwrap().mode, Some(Pooling::AsSet));
    let mut p = params(None, None);
    p.set("pool_mode", "often").unwrap();
    assert!(matches!(find(None, &mut p), Err(RouteError::PoolMode(mode)) if mode == "often"));
}
