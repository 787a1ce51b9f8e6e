//! Reads typed shapes from the tree and notes everything that does not fit, instead of stopping at the first misfit.
//!
//! A value that does not fit is `None` and has its problem noted, so whoever checks the rules later looks at what is
//! there and stays silent about what is not.

use super::node::{Node, Value};
use super::problem::{Place, Problems, nearest, quoted};
use std::ops::Deref;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub place: Place,
    pub value: T,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A key's value; `None` when it is missing or unreadable, which is then already a problem.
pub type Field<T> = Option<At<T>>;

/// A mapping whose keys are names its author chose, in the text's order.
pub type Named<T> = Vec<(At<String>, Field<T>)>;

/// Something the tree can be read as.
pub trait Shape: Sized {
    /// As in "write …".
    fn expected() -> String;

    /// `None` if the value is of another kind; nobody has noted that yet.
    fn fit(value: Value, place: &Place, problems: &mut Problems) -> Option<Self>;
}

/// Reads one node, noting what does not fit.
pub fn read<T: Shape>(node: Node, key: String, problems: &mut Problems) -> Field<T> {
    let place = Place { line: node.line, column: node.column, key };
    if node.alias {
        problems.add(
            &place,
            "the value is an alias of another place",
            "plain yaml without anchors, which helm, terraform and people read alike",
            "write the value out here",
        );
        return None;
    }
    let kind = describe(&node.value);
    let expected = T::expected();
    let textual = expected.starts_with("text");
    let fix = match &node.value {
        Value::Text(text) if !textual && text.parse::<f64>().is_ok() => {
            "write it in plain digits, without quotes, leading zeros or underscores".to_owned()
        }
        Value::Text(text)
            if expected.starts_with("a whole number") && text.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            "write only digits; the unit is in the name of the key".to_owned()
        }
        Value::Bool(_) | Value::Integer(_) | Value::Number(_) if textual => "put it in quotes".to_owned(),
        _ => format!("write {expected}"),
    };
    let before = problems.len();
    let value = T::fit(node.value, &place, problems);
    if value.is_none() && problems.len() == before {
        problems.add(&place, kind, expected, fix);
    }
    Some(At { value: value?, place })
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "there is no value".to_owned(),
        Value::Bool(on) => format!("{on} is a boolean"),
        Value::Integer(number) => format!("{number} is a whole number"),
        Value::Number(number) => format!("{number} is a decimal number"),
        Value::Text(text) => format!("{} is text", quoted(text)),
        Value::List(_) => "this is a list".to_owned(),
        Value::Map(_) => "this is a mapping".to_owned(),
    }
}

impl Shape for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn fit(value: Value, _: &Place, _: &mut Problems) -> Option<bool> {
        match value {
            Value::Bool(on) => Some(on),
            _ => None,
        }
    }
}

impl Shape for i128 {
    fn expected() -> String {
        "a whole number".to_owned()
    }

    fn fit(value: Value, _: &Place, _: &mut Problems) -> Option<i128> {
        match value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl Shape for f64 {
    fn expected() -> String {
        "a number".to_owned()
    }

    fn fit(value: Value, _: &Place, _: &mut Problems) -> Option<f64> {
        match value {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl Shape for String {
    fn expected() -> String {
        "text".to_owned()
    }

    fn fit(value: Value, _: &Place, _: &mut Problems) -> Option<String> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A limit that `false` switches off.
#[derive(Clone, Copy, Debug)]
pub enum Switchable {
    Off,
    Limit(i128),
}

impl Shape for Switchable {
    fn expected() -> String {
        "a whole number, or false to switch the criterion off".to_owned()
    }

    fn fit(value: Value, _: &Place, _: &mut Problems) -> Option<Switchable> {
        match value {
            Value::Bool(false) => Some(Switchable::Off),
            Value::Integer(limit) => Some(Switchable::Limit(limit)),
            _ => None,
        }
    }
}

impl<T: Shape> Shape for Vec<Field<T>> {
    fn expected() -> String {
        "a list, such as [one, two]".to_owned()
    }

    fn fit(value: Value, place: &Place, problems: &mut Problems) -> Option<Vec<Field<T>>> {
        let Value::List(items) = value else { return None };
        let items = items.into_iter().enumerate();
        Some(items.map(|(index, item)| read(item, format!("{}[{index}]", place.key), problems)).collect())
    }
}

impl<T: Shape> Shape for Named<T> {
    fn expected() -> String {
        "a mapping of names to values".to_owned()
    }

    fn fit(value: Value, place: &Place, problems: &mut Problems) -> Option<Named<T>> {
        let entries = Mapping::open(value, place, problems)?.entries;
        Some(entries.into_iter().map(|(name, node)| (name.clone(), read(node, name.place.key, problems))).collect())
    }
}

/// A key that was asked for.
struct Asked {
    key: &'static str,
    expected: String,
    /// It is not there, and has to be.
    missing: bool,
}

/// A mapping being taken apart, key by key.
pub struct Mapping<'p> {
    place: Place,
    entries: Vec<(At<String>, Node)>,
    asked: Vec<Asked>,
    problems: &'p mut Problems,
}

impl<'p> Mapping<'p> {
    /// Notes repeated keys and keys that are no text.
    pub fn open(value: Value, place: &Place, problems: &'p mut Problems) -> Option<Mapping<'p>> {
        let Value::Map(pairs) = value else { return None };
        let mut entries: Vec<(At<String>, Node)> = Vec::new();
        for (key, node) in pairs {
            let mut at = Place { line: key.line, column: key.column, key: place.key.clone() };
            let name = match key.value {
                Value::Text(name) => name,
                other => {
                    let what = format!("a key has to be text, and {}", describe(&other));
                    problems.add(&at, what, "names as keys", "write a name, or put this one in quotes");
                    // Taken by its spelling, so that what refers to it is not wrong as well.
                    match other {
                        Value::Bool(on) => on.to_string(),
                        Value::Integer(number) => number.to_string(),
                        _ => continue,
                    }
                }
            };
            at.key = join(&place.key, &name);
            if let Some((first, _)) = entries.iter().find(|(earlier, _)| earlier.value == name) {
                let what = format!("{} is written twice, first on line {}", quoted(&name), first.place.line);
                problems.add(&at, what, "each key once", "remove or rename one of the two");
                continue;
            }
            entries.push((At { place: at, value: name }, node));
        }
        Some(Mapping { place: place.clone(), entries, asked: Vec::new(), problems })
    }

    pub fn take<T: Shape>(&mut self, key: &'static str) -> Field<T> {
        self.take_or(key, None)
    }

    /// As [`Mapping::take`]; with a default the key may be left out.
    pub fn take_or<T: Shape>(&mut self, key: &'static str, default: Option<T>) -> Field<T> {
        let index = self.entries.iter().position(|(name, _)| name.value == key);
        self.asked.push(Asked { key, expected: T::expected(), missing: index.is_none() && default.is_none() });
        let Some(index) = index else {
            let place = Place { key: join(&self.place.key, key), ..self.place.clone() };
            return default.map(|value| At { place, value });
        };
        let (name, node) = self.entries.remove(index);
        read(node, name.place.key, self.problems)
    }

    /// Notes the keys that nobody asked for and those that were asked for in vain.
    pub fn close(self) {
        let known: Vec<&str> = self.asked.iter().map(|asked| asked.key).collect();
        let mut misspelt = Vec::new();
        for (name, _) in &self.entries {
            let meant = nearest(name, known.iter().copied());
            let fix = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None => "remove it".to_owned(),
            };
            misspelt.extend(meant);
            let what = format!("{} is not a known key", quoted(name));
            self.problems.add(&name.place, what, known.join(", "), fix);
        }
        let missing = self.asked.iter().filter(|asked| asked.missing && !misspelt.contains(&asked.key));
        for Asked { key, expected, .. } in missing {
            let at = Place { key: join(&self.place.key, key), ..self.place.clone() };
            self.problems.add(
                &at,
                format!("the key {key} is missing"),
                expected.as_str(),
                format!("add {key}; every key is written out, because helm and terraform know no defaults"),
            );
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A struct whose fields are the keys of a mapping. A key with a value after its type may be left out, and then has that.
macro_rules! shapes {
    (@take $mapping:ident, $key:expr) => { $mapping.take($key) };
    (@take $mapping:ident, $key:expr, $default:expr) => { $mapping.take_or($key, Some($default)) };
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty $(= $default:expr)?,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $(pub $field: Field<$type>,)* }

        impl Shape for $name {
            fn expected() -> String {
                let keys = [$(stringify!($field).trim_start_matches("r#")),*];
                format!("a mapping of {}", keys.join(", "))
            }

            fn fit(value: Value, place: &Place, problems: &mut Problems) -> Option<$name> {
                let mut mapping = Mapping::open(value, place, problems)?;
                $(let $field = shapes!(@take mapping, stringify!($field).trim_start_matches("r#") $(, $default)?);)*
                mapping.close();
                Some($name { $($field,)* })
            }
        }
    )*};
}
pub(super) use shapes;
