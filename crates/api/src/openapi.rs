//! The contract as one OpenAPI 3.1 document, made of the types themselves: their doc comments are its texts.
//!
//! [`shapes::shape`] says what each route of [`routes::ALL`] takes and gives; everything else follows. Requests
//! and replies have schemas of their own, because what may be left out of a request is always there in a reply.
//! `docs/reference/openapi.json` is this document; a test says when it is stale, and how to write it anew.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::ErrorBody;
use crate::idempotency;
use crate::routes::{self, Access, Method, Route};
use shapes::{Shape, Type};

mod shapes;
pub mod unknown;

/// Where references to schemas lead.
const SCHEMAS: &str = "#/components/schemas/";

/// Where those of requests lead until all of them are known.
const REQUESTS: &str = "#/requests/";

/// What a request's schema is called besides when a reply's has the same name.
const REQUEST: &str = "Request";

/// The document.
///
/// # Panics
/// When a route has no row in `openapi/shapes.rs`, which a test tells.
#[must_use]
pub fn document() -> Value {
    let mut writer = Writer {
        requests: settings(REQUESTS).for_deserialize().into(),
        replies: settings(SCHEMAS).for_serialize().into(),
    };
    let mut paths = Map::new();
    for route in routes::ALL {
        let methods = paths.entry(route.pattern).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_lowercase()] = writer.operation(route);
    }
    let error = writer.replies.subschema_for::<ErrorBody>();
    let (paths, schemas) = writer.finish(Value::Object(paths));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dormouse",
            "description": "The API of a Dormouse server. Shapes follow Neon's public API v2; what is marked \
                            *(extension)* is Dormouse's own.",
            "version": "2",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": routes::BASE}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {"IdempotencyKey": idempotency_key()},
            "responses": {
                "Error": {
                    "description": "The request was refused, or failed.",
                    "content": {"application/json": {"schema": error}},
                },
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a token of the identity provider that the server trusts.",
                },
            },
        },
    })
}

fn settings(at: &str) -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = at.trim_start_matches('#').trim_end_matches('/').to_owned().into();
        settings.meta_schema = None;
    })
}

/// Collects the schemas that operations use.
struct Writer {
    requests: SchemaGenerator,
    replies: SchemaGenerator,
}

impl Writer {
    fn operation(&mut self, route: &Route) -> Value {
        let shape = shapes::shape(route.id);
        let shape = shape.unwrap_or_else(|| panic!("`{}` has no row in openapi/shapes.rs", route.id));
        let mut operation = json!({
            "operationId": route.id,
            "summary": shape.summary,
            "x-access": format!("{:?}", route.access).to_lowercase(),
            "responses": {"default": {"$ref": "#/components/responses/Error"}},
        });
        let parameters = parameters(route, &shape);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some(body) = shape.body {
            // Not marked as required: an empty body counts as `{}`.
            operation["requestBody"] =
                json!({"content": {"application/json": {"schema": body(&mut self.requests)}}});
        }
        operation["responses"][shape.status.to_string()] = json!({
            "description": "Done.",
            "content": {"application/json": {"schema": (shape.reply)(&mut self.replies)}},
        });
        if route.access == Access::Anybody {
            operation["security"] = json!([]);
        }
        operation
    }

    /// Both kinds of schemas in one map, and the paths with references to them.
    fn finish(mut self, mut paths: Value) -> (Value, Value) {
        let mut all = self.replies.take_definitions(true);
        let requests = self.requests.take_definitions(true);
        let name = |name: &str, replies: &Map<String, Value>| {
            let taken = replies.contains_key(name);
            if taken { format!("{name}{REQUEST}") } else { name.to_owned() }
        };
        let names: Vec<(String, String)> = requests
            .keys()
            .map(|old| (format!("{REQUESTS}{old}"), format!("{SCHEMAS}{}", name(old, &all))))
            .collect();
        for (old, mut schema) in requests {
            close(&mut schema);
            let new = name(&old, &all);
            all.insert(new, schema);
        }
        let mut all = Value::Object(all);
        for value in [&mut all, &mut paths] {
            each(value, &mut |object| {
                let Some(Value::String(to)) = object.get_mut("$ref") else { return };
                if let Some((_, new)) = names.iter().find(|(old, _)| old == to) {
                    to.clone_from(new);
                }
            });
        }
        (paths, all)
    }
}

fn parameters(route: &Route, shape: &Shape) -> Vec<Value> {
    let in_path = route.pattern.split('/').filter_map(|part| part.strip_prefix('{')).map(|part| {
        let name = part.trim_end_matches('}');
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
    });
    let key =
        (route.method != Method::Get).then(|| json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    in_path.chain(shape.query.map(in_query).into_iter().flatten()).chain(key).collect()
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": format!(
            "Any text that is new for each request *(extension)*. Sent again with the same key, the request is not \
             carried out again: the first reply comes, with `{}: true`, for {} hours. Another request with the \
             same key is refused with 422.",
            idempotency::REPLAYED, idempotency::KEPT_HOURS,
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": idempotency::MAX_KEY, "pattern": "^[!-~]+$"},
    })
}

fn in_query(query: Type) -> Vec<Value> {
    let inlined = settings(REQUESTS).for_deserialize().with(|settings| settings.inline_subschemas = true);
    let schema = query(&mut inlined.into()).to_value();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let parameter = |(name, property): (&String, &Value)| {
        let mut property = property.clone();
        // `null` cannot be said in a query: what is absent is left out.
        if let Some(Value::Array(kinds)) = property.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [only] = kinds.as_slice() {
                property["type"] = only.clone();
            }
        }
        let description = property.as_object_mut().and_then(|object| object.remove("description"));
        if let Some(object) = property.as_object_mut() {
            object.remove("default");
        }
        let mut parameter = json!({
            "name": name, "in": "query", "required": required.contains(&name.as_str()), "schema": property,
        });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    properties.map(parameter).collect()
}

/// Says of every object in a request that unknown fields are refused.
fn close(schema: &mut Value) {
    each(schema, &mut |object| {
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
    });
}

/// Calls `change` for every object in a value, the outer ones first.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|inner| each(inner, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| each(inner, change)),
        _ => {}
    }
}
