//! The OpenAPI 3.1 document, made from the list of routes and the types they answer with.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Scope;
use super::error::ErrorBody;
use super::routes::{Method, ROUTES, Route};

/// The document that `/api/v1/openapi.json` serves.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[method] = operation(route, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anchorwatch",
            "description": "What the drift-detection daemon knows, and what can be asked of it. Times are milliseconds since the Unix epoch.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let content_type = route.content_type;
    let good = (route.schema)(generator).to_value();
    let bad = generator.subschema_for::<ErrorBody>().to_value();
    let mut responses = json!({"200": answer("As asked.", content_type, &good)});
    let error = |description| answer(description, "application/json", &bad);
    if route.scope != Scope::Open {
        responses["401"] = error("Tokens are asked for, and none or an unknown one came.");
        responses["403"] = error("The token lacks the scope, or the request comes from a page of strangers.");
    }
    if !route.query.is_empty() || route.request.is_some() {
        responses["400"] = error("A parameter or the body is not understood.");
    }
    if route.method == Method::Post {
        responses["409"] = error("It is not in a state for this.");
        responses["503"] = error("The order may not have been carried out.");
    }
    if route.path.contains('{') || route.method == Method::Post {
        responses["404"] = error("There is no such thing.");
    }
    if route.path.ends_with('z') {
        responses["503"] = answer("Not now.", content_type, &good);
    }
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": responses,
        "security": security(route),
    });
    if let Some(request) = route.request {
        let body = json!({"application/json": {"schema": request(generator).to_value()}});
        operation["requestBody"] = json!({"required": true, "content": body});
    }
    operation
}

/// What a caller needs where tokens are asked for; the scopes of a bearer token are ours, not OAuth's.
fn security(route: &Route) -> Value {
    match route.scope {
        Scope::Open => json!([]),
        scope => json!([{"token": [scope.as_str()]}]),
    }
}

fn answer(description: &str, content_type: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {content_type: {"schema": schema}}})
}

fn operation_id(route: &Route) -> String {
    let words: Vec<_> =
        route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match (words.is_empty(), route.method) {
        (true, _) => "page".to_owned(),
        (false, Method::Get) => words.join("_"),
        (false, Method::Post) => format!("post_{}", words.join("_")),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query =
        route.query.iter().map(|name| json!({"name": name, "in": "query", "schema": query_schema(name)}));
    in_path.chain(in_query).collect()
}

fn query_schema(name: &str) -> Value {
    match name {
        "limit" => {
            json!({"type": "integer", "minimum": 1, "maximum": super::query::MAX_LIMIT, "default": 100})
        }
        "offset" => json!({"type": "integer", "minimum": 0, "default": 0}),
        "state" => json!({"type": "string", "enum": ["pending", "firing", "resolved"]}),
        _ => json!({"type": "string"}),
    }
}
