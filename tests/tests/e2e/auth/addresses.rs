//! Only addresses that project and endpoint allow get to the login, and a refused one wakes nothing.

use std::net::Ipv4Addr;

use dormouse_tests::Server;
use serde_json::{Value, json};

use super::login_from;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OFFICE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 7);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 7);

async fn comes_in(server: &Server, from: Ipv4Addr) {
    let client = login_from(server, from).await.unwrap_or_else(|refused| panic!("{from}: {refused:?}"));
    client.batch_execute("select 1").await.unwrap();
}

async fn stays_out(server: &Server, from: Ipv4Addr) {
    let Err((code, text, hint)) = login_from(server, from).await else { panic!("{from} came in") };
    assert_eq!((code.as_str(), text), ("28000", format!("connections from {from} are not allowed")));
    assert!(hint.contains("ip-allow add") && hint.contains("docs/errors/address-not-allowed.md"), "{hint}");
}

fn ips(shown: &Value) -> Vec<&str> {
    shown["ips"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_projects_list() {
    let server = Server::start(&[]);
    let project = server.default_project();
    assert_eq!(ips(&server.cli_json(&["ip-allow", "list"])), [""; 0]);
    let shown = server.cli_json(&["ip-allow", "add", "127.1.0.0/16", "192.0.2.1-192.0.2.9"]);
    assert_eq!(ips(&shown), ["127.1.0.0/16", "192.0.2.1-192.0.2.9"]);
    for address in [HERE, ELSEWHERE] {
        stays_out(&server, address).await;
    }
    assert_eq!(server.state_of(&project), "stopped", "whoever is refused wakes nothing");
    comes_in(&server, OFFICE).await;
    let open = login_from(&server, OFFICE).await.unwrap();

    // At once for new connections, and not at all for those that are open.
    server.cli_json(&["ip-allow", "remove", "127.1.0.0/16"]);
    stays_out(&server, OFFICE).await;
    open.batch_execute("select 1").await.unwrap();
    assert!(!server.cli(&["ip-allow", "remove", "127.1.0.0/16"]).status.success());
    assert!(!server.cli(&["ip-allow", "add", "127.1.0.0/99"]).status.success());

    assert_eq!(ips(&server.cli_json(&["ip-allow", "reset", "::1", "127.0.0.1"])), ["::1", "127.0.0.1"]);
    comes_in(&server, HERE).await;
    stays_out(&server, OFFICE).await;
    server.cli_json(&["ip-allow", "reset"]);
    comes_in(&server, ELSEWHERE).await;
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn protected_branches_and_endpoints() {
    let mut server = Server::start(&[]);
    let project = server.default_project();
    let path = format!("/projects/{}", project.id);
    let allowed = json!({"ips": ["127.1.0.0/16"], "protected_branches_only": true});
    let (status, changed) =
        server.api("PATCH", &path, &json!({"project": {"settings": {"allowed_ips": allowed}}}));
    assert_eq!((status, &changed["project"]["settings"]["allowed_ips"]), (200, &allowed), "{changed}");
    comes_in(&server, HERE).await;
    server.cli_json(&["branch", "protect", "main"]);
    stays_out(&server, HERE).await;
    comes_in(&server, OFFICE).await;

    // The endpoint's own list makes it stricter, never more open.
    let own = ["ip-allow", "add", "127.1.0.7", "127.0.0.1", "--endpoint", project.endpoint.as_str()];
    assert_eq!(ips(&server.cli_json(&own)), ["127.1.0.7", "127.0.0.1"]);
    comes_in(&server, OFFICE).await;
    stays_out(&server, HERE).await;
    stays_out(&server, Ipv4Addr::new(127, 1, 0, 8)).await;

    // Lists survive the server.
    assert!(server.stop().1);
    server.start_again();
    stays_out(&server, HERE).await;
    comes_in(&server, OFFICE).await;

    let bad = json!({"endpoint": {"allowed_ips": ["example.com"]}});
    let (status, error) = server.api("PATCH", &format!("{path}/endpoints/{}", project.endpoint), &bad);
    assert_eq!((status, &error["code"]), (400, &json!("bad-address")), "{error}");
}
