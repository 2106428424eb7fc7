//! Finds fields of a request that the contract does not have, because a wish that is silently ignored is
//! worse than one that is refused.
//!
//! Neon's clients send some fields that mean nothing on a server of one's own: [`IGNORED`] names them.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::{SCHEMAS, document};

/// Fields of Neon's API that are accepted and have no effect, wherever they are.
pub const IGNORED: [&str; 12] = [
    // There is one region, one organisation, one kind of compute.
    "region_id",
    "org_id",
    "provisioner",
    "store_passwords",
    // Everything has a pooler, in this mode.
    "pooler_enabled",
    "pooler_mode",
    // Notes for Neon's own console.
    "annotation_value",
    "annotations",
    "recovery_source",
    "source_branch_name",
    "project_name",
    "auto_add_to_neon_auth",
];

/// The same for fields that mean something elsewhere.
const IGNORED_THERE: [&str; 1] = [
    // Endpoints are known by their branch.
    "endpoint.name",
];

/// The most characters of a field's name that an error shows.
const SHOWN: usize = 60;

struct Known {
    /// The request's schema, by `operationId`.
    bodies: HashMap<String, Value>,
    schemas: Value,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let document = document();
    let mut bodies = HashMap::new();
    for methods in document["paths"].as_object().into_iter().flat_map(|paths| paths.values()) {
        for operation in methods.as_object().into_iter().flat_map(|methods| methods.values()) {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if let (Some(id), false) = (operation["operationId"].as_str(), schema.is_null()) {
                bodies.insert(id.to_owned(), schema.clone());
            }
        }
    }
    Known { bodies, schemas: document["components"]["schemas"].clone() }
});

/// A field that the contract does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The path to it, such as `project.nmae`.
    pub field: String,
    /// What could stand there instead.
    pub known: Vec<String>,
}

/// The first unknown field in the body of a request to the route with this `operationId`.
#[must_use]
pub fn find(id: &str, body: &Value) -> Option<Unknown> {
    let schema = KNOWN.bodies.get(id)?;
    look(schema, body, &mut Vec::new())
}

fn look(schema: &Value, value: &Value, path: &mut Vec<String>) -> Option<Unknown> {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix(SCHEMAS)) {
        return look(&KNOWN.schemas[name], value, path);
    }
    if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        // An optional object: the one choice that is an object counts.
        let mut found = choices.iter().map(|choice| look(choice, value, path)).collect::<Vec<_>>();
        return if found.iter().filter(|one| one.is_none()).count() == choices.len() {
            None
        } else {
            found.iter_mut().find_map(Option::take)
        };
    }
    match value {
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            path.push(index.to_string());
            let found = look(&schema["items"], item, path);
            path.pop();
            found
        }),
        Value::Object(fields) => {
            let known = schema["properties"].as_object()?;
            fields.iter().find_map(|(name, field)| {
                path.push(name.chars().take(SHOWN).collect());
                let found = match known.get(name) {
                    Some(schema) => look(schema, field, path),
                    None if IGNORED.contains(&name.as_str()) => None,
                    None if IGNORED_THERE.contains(&path.join(".").as_str()) => None,
                    None if schema["additionalProperties"].is_object() => None,
                    None => Some(Unknown { field: path.join("."), known: known.keys().cloned().collect() }),
                };
                path.pop();
                found
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(id: &str, body: &Value) -> Option<String> {
        find(id, body).map(|unknown| unknown.field)
    }

    #[test]
    fn a_field_that_nobody_knows_is_named() {
        let name = |body| field("createProject", &body);
        assert_eq!(
            name(json!({"project": {"name": "shop", "settings": {"allowed_ips": {"ips": []}}}})),
            None
        );
        assert_eq!(name(json!({"project": {"nmae": "shop"}})).as_deref(), Some("project.nmae"));
        assert_eq!(name(json!({"name": "shop"})).as_deref(), Some("name"));
        let deep = json!({"project": {"settings": {"allowed_ips": {"ip": []}}}});
        assert_eq!(name(deep).as_deref(), Some("project.settings.allowed_ips.ip"));
        let endpoint = json!({"endpoints": [{"type": "read_write"}, {"type": "read_only", "size": 4}]});
        assert_eq!(field("createProjectBranch", &endpoint).as_deref(), Some("endpoints.1.size"));
    }

    #[test]
    fn what_neons_clients_send_is_fine_and_so_are_names_of_settings() {
        let body = json!({"project": {"region_id": "aws-x", "org_id": "org-y"}});
        assert_eq!(field("createProject", &body), None);
        let body = json!({"branch": {"name": "dev"}, "annotation_value": {}, "endpoints": []});
        assert_eq!(field("createProjectBranch", &body), None);
        let body = json!({"endpoint": {"branch_id": "br-x", "type": "read_write", "name": "mine"}});
        assert_eq!(field("createProjectEndpoint", &body), None);
        let body = json!({"endpoint": {"settings": {"pg_settings": {"work_mem": "8MB"}}}});
        assert_eq!(field("updateProjectEndpoint", &body), None);
    }
}
