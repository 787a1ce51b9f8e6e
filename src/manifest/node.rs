//! YAML text as a tree in which every value knows its line and column. Only this file knows the YAML crate.
//!
//! serde stops at its first error, and a manifest's author wants all of them: so the crate fills this tree, whatever
//! the keys and types are, and [`super::shape`] reads the manifest from it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Spanned};
use std::fmt;

#[derive(Debug)]
pub struct Node {
    pub line: u32,
    pub column: u32,
    /// The value stands elsewhere, at an anchor.
    pub alias: bool,
    pub value: Value,
}

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// In the text's order, repeated keys included.
    Map(Vec<(Node, Node)>),
}

/// Why the text is not one YAML document.
#[derive(Debug)]
pub struct Flaw {
    pub line: u32,
    pub column: u32,
    pub what: String,
    pub fix: &'static str,
}

/// Reads YAML as its other readers do: `yes` is text, and so are `010` and `1_000`, which they read as different numbers.
pub fn parse(text: &str) -> Result<Node, Flaw> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options).map(Node::from).map_err(|error| flaw(&error))
}

fn flaw(error: &Error) -> Flaw {
    let (line, column) = match error.location() {
        Some(location) if location.line() > 0 => (location.line() as u32, location.column() as u32),
        _ => (1, 1),
    };
    if let Error::MultipleDocuments { .. } = error {
        let what = "a second yaml document begins here".to_owned();
        return Flaw { line, column, what, fix: "keep one document in this file" };
    }
    let rendered = error.render();
    let what = format!("this is not yaml: {}", rendered.split(" at line ").next().unwrap_or_default());
    Flaw { line, column, what, fix: "correct the yaml here; nothing else of the file could be checked" }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Node {
        let Spanned { value, referenced, defined } = spanned;
        Node {
            line: referenced.line() as u32,
            column: referenced.column() as u32,
            alias: (referenced.line(), referenced.column()) != (defined.line(), defined.column()),
            value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(Node::from(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<Value>, Spanned<Value>>()? {
            map.push((Node::from(key), Node::from(value)));
        }
        Ok(Value::Map(map))
    }
}
