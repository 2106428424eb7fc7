//! The OpenAPI document is whole, and `docs/reference/openapi.json` is it.
//!
//! After a change of the contract: `DORMOUSE_WRITE_OPENAPI=1 cargo test -p dormouse-api --test openapi`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::path::Path;

use dormouse_api::{openapi, routes};
use serde_json::Value;

/// Set to write the file instead of comparing it.
const WRITE: &str = "DORMOUSE_WRITE_OPENAPI";

#[test]
fn the_file_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&openapi::document()).unwrap());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/reference/openapi.json is stale: {WRITE}=1 cargo test -p dormouse-api --test openapi"
    );
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
    });
    all.collect()
}

#[test]
fn every_route_is_in_it_once() {
    let document = openapi::document();
    let mut told: Vec<(String, String)> = operations(&document).into_iter().map(|(m, p, _)| (m, p)).collect();
    let mut routes: Vec<(String, String)> =
        routes::ALL.iter().map(|r| (r.method.to_string(), r.pattern.to_owned())).collect();
    told.sort();
    routes.sort();
    assert_eq!(told, routes);
    let ids: BTreeSet<&str> = routes::ALL.iter().map(|route| route.id).collect();
    assert_eq!(ids.len(), routes::ALL.len(), "two routes have one operationId");
}

#[test]
fn the_page_about_the_api_has_every_route() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md");
    let page = std::fs::read_to_string(path).unwrap();
    for route in routes::ALL {
        let row = format!("| `{} {}` |", route.method, route.pattern);
        assert!(
            page.contains(&row),
            "docs/reference/api.md has no row for {} {}",
            route.method,
            route.pattern
        );
    }
    for field in openapi::unknown::IGNORED {
        assert!(page.contains(&format!("`{field}`")), "docs/reference/api.md does not name {field}");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(to.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = openapi::document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in &found {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}")), "nobody uses {name}");
    }
}

#[test]
fn what_can_be_left_out_of_a_request_is_always_in_a_reply() {
    let schemas = &openapi::document()["components"]["schemas"];
    let required = |name: &str| schemas[name]["required"].as_array().cloned().unwrap_or_default();
    assert!(required("ProjectSettings").contains(&"allowed_ips".into()), "{}", schemas["ProjectSettings"]);
    assert!(required("NewProject").is_empty());
    assert_eq!(schemas["NewProject"]["additionalProperties"], false);
    assert_eq!(schemas["Project"].get("additionalProperties"), None, "fields may be added");
    let pid = &schemas["Endpoint"]["properties"]["pid"]["type"];
    assert_eq!(*pid, serde_json::json!(["integer", "null"]), "flattened fields are there");
}
