//! As much of JSON Schema as our OpenAPI document uses. A keyword it does not know is an error, not a pass.

use serde_json::Value;

/// Why `value` does not fit `schema`, if it does not. `$ref` is looked up in `document`.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why}: {value} against {schema}"));
    let Some(schema_keys) = schema.as_object() else { return fail("a schema is an object") };
    for (key, rule) in schema_keys {
        let fits = match key.as_str() {
            "$ref" => {
                let path = rule.as_str().and_then(|path| path.strip_prefix('#')).ok_or("a reference starts with #")?;
                check(document, document.pointer(path).ok_or(format!("nothing at {path}"))?, value)?;
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(value, kind)),
                kind => is(value, kind),
            },
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value)?;
                    }
                }
                true
            }
            "additionalProperties" => {
                assert!(!schema_keys.contains_key("properties"), "not both, here");
                for value in value.as_object().unwrap().values() {
                    check(document, rule, value)?;
                }
                true
            }
            "items" => {
                for value in value.as_array().unwrap() {
                    check(document, rule, value)?;
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_f64().unwrap() >= rule.as_f64().unwrap(),
            "maximum" => value.as_f64().unwrap() <= rule.as_f64().unwrap(),
            "pattern" => {
                assert_eq!(rule, "^[0-9]{1,19}$", "the one pattern there is");
                let text = value.as_str().unwrap();
                (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
            }
            "format" => {
                assert_eq!(rule, "date-time");
                value.as_str().unwrap().parse::<jiff::Timestamp>().is_ok()
            }
            "description" | "default" => true,
            unknown => return fail(&format!("unknown keyword {unknown}")),
        };
        if !fits {
            return fail(key);
        }
    }
    Ok(())
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}
