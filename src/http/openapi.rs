//! The OpenAPI 3.1 document: paths, methods and media types come from the route table, shapes are written here.

use super::problem::{Code, MEDIA_TYPE};
use super::representation::Representation;
use super::route::{Call, PUBLIC, Route};
use serde_json::{Map, Value, json};

/// The whole document. `ids_per_request`: the limit of this node.
pub fn document(ids_per_request: u32) -> Value {
    let paths: Map<String, Value> =
        PUBLIC.iter().map(|call| (call.path.to_owned(), path(call, ids_per_request))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Meridian",
            "summary": "64-bit, time-ordered, globally unique ids",
            "description": "Ids are decimal strings in JSON, because 2^53 is smaller. Request bodies of up to the node's \
                            limit are read and ignored: the count stands in the query. HEAD does what GET does and \
                            leaves the body out. Ask the same port in HTTP/1.1 or in HTTP/2 with prior knowledge.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

/// The statuses a call may answer with, besides those any request may get (400 and 408 for broken bodies, 413, 431).
pub fn statuses(call: &Call) -> Vec<u16> {
    let mut statuses = vec![200, 400, 405, 408, 413, 431, 503];
    if !call.offered.is_empty() {
        statuses.push(406);
    }
    if call.route.makes_ids() {
        statuses.push(429);
    }
    statuses.sort_unstable();
    statuses
}

fn path(call: &Call, ids_per_request: u32) -> Value {
    let mut path = Map::new();
    let parameters = parameters(call.route, ids_per_request);
    if !parameters.is_empty() {
        path.insert("parameters".into(), parameters.into());
    }
    for method in call.methods.split(", ") {
        let mut operation = Map::new();
        operation.insert("operationId".into(), format!("{}_{}", method.to_lowercase(), call.route.name()).into());
        operation.insert("summary".into(), call.summary.into());
        let responses: Map<String, Value> =
            statuses(call).into_iter().map(|status| (status.to_string(), response(call, status, method))).collect();
        operation.insert("responses".into(), responses.into());
        path.insert(method.to_lowercase(), operation.into());
    }
    path.into()
}

fn parameters(route: Route, ids_per_request: u32) -> Vec<Value> {
    match route {
        Route::Ids | Route::Ranges => vec![json!({
            "name": "count", "in": "query", "description": "How many ids, at most once",
            "schema": { "type": "integer", "minimum": 1, "maximum": ids_per_request, "default": 1 },
        })],
        Route::Decode => vec![json!({
            "name": "id", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/Id" },
        })],
        _ => Vec::new(),
    }
}

fn response(call: &Call, status: u16, method: &str) -> Value {
    let mut response = Map::new();
    let description = match status {
        200 => call.summary.to_owned(),
        _ => {
            let codes = Code::ALL.iter().filter(|code| code.status().as_u16() == status).map(|code| code.name());
            format!("A problem: {}", codes.collect::<Vec<_>>().join(", "))
        }
    };
    response.insert("description".into(), description.into());
    let mut headers = Map::new();
    if matches!(status, 429 | 503) && !call.route.is_health() {
        headers.insert("Retry-After".into(), json!({ "schema": { "type": "integer", "minimum": 1 } }));
    }
    if status == 405 {
        headers.insert("Allow".into(), json!({ "schema": { "type": "string" } }));
    }
    if call.route.makes_ids() || status != 200 {
        headers.insert("Cache-Control".into(), json!({ "schema": { "type": "string", "const": "no-store" } }));
    }
    if !headers.is_empty() {
        response.insert("headers".into(), headers.into());
    }
    if method != "HEAD" {
        response.insert("content".into(), content(call, status).into());
    }
    response.into()
}

fn content(call: &Call, status: u16) -> Map<String, Value> {
    let schema = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    let mut content = Map::new();
    match (status, call.route) {
        (200, route) if route.is_health() => {
            content.insert("application/health+json".into(), schema(health(route)));
        }
        (503, route) if route.is_health() => {
            content.insert("application/health+json".into(), schema(health(route)));
            content.insert(MEDIA_TYPE.into(), schema("Problem"));
        }
        (200, Route::OpenApi) => {
            content.insert("application/json".into(), json!({ "schema": { "type": "object" } }));
        }
        (200, Route::Index) => {
            content.insert("application/json".into(), schema("Index"));
        }
        (200, route) => {
            for &representation in call.offered {
                content.insert(representation.essence().into(), json!({ "schema": shape(route, representation) }));
            }
        }
        _ => {
            content.insert(MEDIA_TYPE.into(), schema("Problem"));
        }
    }
    content
}

fn health(route: Route) -> &'static str {
    if route == Route::RegionHealth { "RegionHealth" } else { "Health" }
}

fn shape(route: Route, representation: Representation) -> Value {
    match (route, representation) {
        (Route::Id, Representation::Json) => json!({ "$ref": "#/components/schemas/OneId" }),
        (Route::Ranges, _) => json!({ "$ref": "#/components/schemas/Ranges" }),
        (Route::Decode, _) => json!({ "$ref": "#/components/schemas/Decoded" }),
        (_, Representation::Json) => json!({ "type": "array", "items": { "$ref": "#/components/schemas/Id" } }),
        (_, Representation::Lines) => json!({ "type": "string", "description": "One JSON string a line" }),
        (Route::Id, Representation::Text) => json!({ "$ref": "#/components/schemas/Id" }),
        (_, Representation::Text) => json!({ "type": "string", "description": "Decimal digits, one id a line" }),
        (_, Representation::Bytes) => json!({ "description": "Eight bytes an id, big-endian" }),
    }
}

fn schemas() -> Value {
    let object = |properties: Value| {
        let required: Vec<String> = properties.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let id = json!({ "$ref": "#/components/schemas/Id" });
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    let mut problem = object(json!({
        "type": { "type": "string" },
        "title": { "type": "string" },
        "status": { "type": "integer", "minimum": 400, "maximum": 599 },
        "detail": { "type": "string", "description": "What to do about it" },
        "code": { "type": "string", "enum": codes, "description": "Stable" },
    }));
    problem["properties"]["retry_after_ms"] = json!({ "type": "integer", "minimum": 1 });
    let check = object(json!({
        "observed": {},
        "limit": {},
        "status": { "type": "string", "enum": ["pass", "fail", "off"] },
    }));
    let health = json!({
        "status": { "type": "string", "enum": ["pass", "fail"] },
        "region": { "type": "string" },
        "datacenter": { "type": "integer", "minimum": 0 },
        "worker": { "type": ["integer", "null"], "description": "The lowest of its slots" },
        "slots": { "type": "array", "items": { "type": "integer", "minimum": 0 }, "description": "All it holds" },
        "checks": { "type": "object", "additionalProperties": check },
    });
    let mut region_health = health.clone();
    let count = json!({ "type": "integer", "minimum": 0 });
    region_health["workers"] = object(json!({ "live": count, "needed": count, "quota": count }));
    region_health["drained"] = json!({ "type": "boolean" });
    let range = object(json!({ "first": id, "count": { "type": "integer", "minimum": 1 } }));
    json!({
        "Id": { "type": "string", "pattern": "^[0-9]{1,19}$" },
        "OneId": object(json!({ "id": id })),
        "Ranges": object(json!({
            "layout": { "type": "string" },
            "ranges": { "type": "array", "items": range },
        })),
        "Decoded": object(json!({
            "id": id,
            "time": { "type": "string", "format": "date-time" },
            "region": { "type": ["string", "null"] },
            "datacenter": { "type": "integer", "minimum": 0 },
            "worker": { "type": "integer", "minimum": 0 },
            "sequence": { "type": "integer", "minimum": 0 },
        })),
        "Health": object(health),
        "RegionHealth": object(region_health),
        "Index": object(json!({
            "service": { "type": "string" },
            "version": { "type": "string" },
            "calls": { "type": "array", "items": { "type": "object" } },
        })),
        "Problem": problem,
    })
}
