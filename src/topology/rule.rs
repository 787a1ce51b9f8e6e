//! The rules that hold for a single value. Each gives the value back once it holds, and else notes why not.

use crate::manifest::{At, Field, Place, Problems, Switchable, nearest, quoted};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A whole number within `range`.
pub fn within<T: TryFrom<i128>>(
    field: &Field<i128>,
    range: RangeInclusive<i128>,
    problems: &mut Problems,
) -> Option<T> {
    let at = field.as_ref()?;
    number(at.value, &at.place, range, problems)
}

/// As [`within`], for a limit that can be switched off: `Some(None)` is off.
pub fn switchable(
    field: &Field<Switchable>,
    range: RangeInclusive<i128>,
    problems: &mut Problems,
) -> Option<Option<u64>> {
    let at = field.as_ref()?;
    match at.value {
        Switchable::Off => Some(None),
        Switchable::Limit(limit) => number(limit, &at.place, range, problems).map(Some),
    }
}

fn number<T: TryFrom<i128>>(
    value: i128,
    at: &Place,
    range: RangeInclusive<i128>,
    problems: &mut Problems,
) -> Option<T> {
    let (low, high) = range.into_inner();
    let unit = unit(&at.key);
    if value < low {
        problems.add(
            at,
            format!("{value} is too small"),
            format!("{low} to {high}{unit}"),
            format!("raise it to {low} or more"),
        );
    } else if value > high {
        problems.add(
            at,
            format!("{value} is too large"),
            format!("{low} to {high}{unit}"),
            format!("lower it to {high} or less"),
        );
    } else {
        return T::try_from(value).ok();
    }
    None
}

fn unit(key: &str) -> &'static str {
    match key.rsplit('_').next() {
        Some("ms") => " ms",
        Some("seconds") => " seconds",
        Some("bytes") => " bytes",
        _ => "",
    }
}

/// A relative weight: above zero, and small enough that sums stay exact.
pub fn weight(at: &At<f64>, problems: &mut Problems) -> Option<f64> {
    const MOST: f64 = 1_000_000.0;
    if at.value > 0.0 && at.value <= MOST {
        return Some(at.value);
    }
    let allowed = format!("a relative weight above 0, at most {MOST}");
    problems.add(
        &at.place,
        format!("{} is not a weight", at.value),
        allowed,
        "write the share it should have, such as 25",
    );
    None
}

/// Degrees of latitude or longitude.
pub fn degrees(field: &Field<f64>, most: f64, problems: &mut Problems) -> Option<f64> {
    let at = field.as_ref()?;
    if (-most..=most).contains(&at.value) {
        return Some(at.value);
    }
    let what = format!("{} is not on the globe", at.value);
    problems.add(
        &at.place,
        what,
        format!("-{most} to {most} degrees"),
        "write decimal degrees, west and south negative",
    );
    None
}

/// Lower-case letters, digits and hyphens, beginning with a letter: a name that metrics, znodes, Kubernetes and DNS all
/// take. Words that some YAML readers take for a switch are no names.
pub fn name(at: &At<String>, problems: &mut Problems) -> Option<String> {
    const SWITCHES: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    const LONGEST: usize = 32;
    let allowed = format!("1 to {LONGEST} lower-case letters, digits and hyphens, beginning with a letter");
    if SWITCHES.contains(&at.value.as_str()) {
        let what = format!("{} means true or false to some yaml readers", quoted(at));
        problems.add(&at.place, what, allowed, "choose a longer name");
        return None;
    }
    if label(at) && at.len() <= LONGEST && at.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Some(at.value.clone());
    }
    let slug: String =
        at.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let slug = slug.trim_matches(|c: char| !c.is_ascii_lowercase());
    let example = if label(slug) && slug.len() <= LONGEST { slug } else { "us-east" };
    let what = format!("{} is not a valid name", quoted(at));
    problems.add(&at.place, what, allowed, format!("rename it, for example to {example}"));
    None
}

/// One label of a DNS name, in lower case.
fn label(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

/// A cloud's word for something of its own, such as `us-east-1a`.
pub fn cloud_word(at: &At<String>, problems: &mut Problems) -> Option<String> {
    if label(at) {
        return Some(at.value.clone());
    }
    let what = format!("{} is not a cloud identifier", quoted(at));
    problems.add(
        &at.place,
        what,
        "lower-case letters, digits and hyphens",
        "write it as the cloud's own tools print it, such as aws or us-east-1a",
    );
    None
}

/// A host name of any number of labels.
pub fn is_host(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(label)
}

/// A DNS name of at least two labels.
pub fn dns_name(field: &Field<String>, problems: &mut Problems) -> Option<String> {
    let at = field.as_ref()?;
    if is_host(at) && at.contains('.') && at.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_err()) {
        return Some(at.value.clone());
    }
    let what = format!("{} is not a dns name", quoted(at));
    let allowed = "lower-case labels of letters, digits and hyphens, joined by dots, 253 characters at most";
    let fix = "write a full name without scheme, port or final dot, such as ids.example.com";
    problems.add(&at.place, what, allowed, fix);
    None
}

/// One of a few words.
pub fn one_of<'a>(at: &At<String>, words: &[&'a str], problems: &mut Problems) -> Option<&'a str> {
    if let Some(word) = words.iter().find(|word| **word == at.value) {
        return Some(word);
    }
    let fix = match nearest(at, words.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("write {}", words.first().unwrap_or(&"one of them")),
    };
    problems.add(&at.place, format!("{} is unknown", quoted(at)), words.join(", "), fix);
    None
}

/// Notes a list that has to have members and has none.
pub fn not_empty<T>(
    list: &At<Vec<T>>,
    allowed: impl Display,
    fix: impl Display,
    problems: &mut Problems,
) -> Option<()> {
    if !list.is_empty() {
        return Some(());
    }
    problems.add(&list.place, "the list is empty", allowed, fix);
    None
}

/// Judges all members of a list, whatever the first ones are.
pub fn members<T, U>(list: &[Field<T>], mut judge: impl FnMut(&At<T>) -> Option<U>) -> Option<Vec<U>> {
    let judged: Vec<Option<U>> = list.iter().map(|field| judge(field.as_ref()?)).collect();
    judged.into_iter().collect()
}

/// Values that may occur only once among all regions, and where each was seen first.
pub struct Unique<T>(Vec<(T, Place)>);

impl<T: PartialEq + Display> Unique<T> {
    pub fn new() -> Unique<T> {
        Unique(Vec::new())
    }

    /// Sees a value of which nothing is wrong.
    pub fn reserve(&mut self, value: T, at: &Place) {
        self.0.push((value, at.clone()));
    }

    /// Gives `value` back the first time, and refuses it from then on.
    pub fn admit(&mut self, value: T, at: &Place, allowed: &str, fix: &str, problems: &mut Problems) -> Option<T>
    where
        T: Clone,
    {
        if let Some((_, first)) = self.0.iter().find(|(seen, _)| *seen == value) {
            let what = format!("{value} is already used by {} on line {}", first.key, first.line);
            problems.add(at, what, allowed, fix);
            return None;
        }
        self.0.push((value.clone(), at.clone()));
        Some(value)
    }
}
