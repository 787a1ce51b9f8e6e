//! The query of a call: at most `count`, at most once. What is not understood is refused, because a mistyped `cuont`
//! that quietly makes one id is worse than an error.

use super::problem::{Code, Problem};
use crate::peers::Order;
use std::borrow::Cow;

/// The most characters of a client's text that are told back to it.
const ECHO: usize = 40;

/// The count a query asks for: 1 if it does not say.
pub fn count(query: Option<&str>, limit: u32) -> Result<u32, Problem> {
    let mut count = None;
    for (key, value) in pairs(query) {
        if key != "count" {
            let near = strsim::jaro_winkler(&shortened(&key), "count") > 0.7;
            let hint = if near { "did you mean count?" } else { "this call knows only count" };
            return Err(Problem::new(Code::QueryInvalid, format!("unknown key {:?}; {hint}", shortened(&key))));
        }
        if count.is_some() {
            return Err(Problem::new(Code::QueryInvalid, "count is there twice; give it once"));
        }
        count = Some(parse(value, limit)?);
    }
    Ok(count.unwrap_or(1))
}

/// For calls that take no query at all.
pub fn none(query: Option<&str>, instead: &str) -> Result<(), Problem> {
    match pairs(query).next() {
        None => Ok(()),
        Some((key, _)) => Err(Problem::new(
            Code::QueryInvalid,
            format!("unknown key {:?}; this call takes no query{instead}", shortened(&key)),
        )),
    }
}

/// The order to drain a region: a reason, and maybe by whom, and whether to drain the last healthy region, too.
pub fn drain(query: Option<&str>) -> Result<Order, Problem> {
    let invalid = |detail: String| Problem::new(Code::QueryInvalid, detail);
    let (mut reason, mut by, mut force) = (None, None, None);
    for (key, value) in pairs(query) {
        let place = match &*key {
            "reason" => &mut reason,
            "by" => &mut by,
            "force" => &mut force,
            _ => {
                let detail = format!("unknown key {:?}; this call knows reason, by and force", shortened(&key));
                return Err(invalid(detail));
            }
        };
        if place.replace(value.unwrap_or_default().into_owned()).is_some() {
            return Err(invalid(format!("{key} is there twice; give it once")));
        }
    }
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.ok_or_else(|| invalid("say why: ?reason=TEXT".to_owned()))?;
    let force = match force.as_deref() {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(other) => return Err(invalid(format!("force is {:?}; write true or false", shortened(other)))),
    };
    Ok(Order::Drain { by: by.unwrap_or_else(|| "an admin call".to_owned()), reason, force })
}

fn parse(value: Option<Cow<'_, str>>, limit: u32) -> Result<u32, Problem> {
    let ask = format!("ask for 1 to {limit}");
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(Problem::new(Code::CountInvalid, format!("count has no value; {ask}")));
    };
    let digits = value.strip_prefix('-').unwrap_or(&value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let detail = format!("count is {:?}, which is not a whole number; {ask}", shortened(&value));
        return Err(Problem::new(Code::CountInvalid, detail));
    }
    match value.parse::<u32>() {
        Ok(count) if (1..=limit).contains(&count) => Ok(count),
        _ => Err(Problem::new(Code::CountOutOfRange, format!("count is {}; {ask}", shortened(&value)))),
    }
}

/// Keys and values, percent-decoded. A key without `=` has no value.
fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Option<Cow<'_, str>>)> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
        Some((key, value)) => (decoded(key), Some(decoded(value))),
        None => (decoded(pair), None),
    })
}

/// Undoes percent-encoding; what is not encoded well stays as it is, and is refused as what it then looks like.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|byte| (*byte as char).to_digit(16));
        rest = match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                &after[2..]
            }
            _ => {
                bytes.push(byte);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// A client's text, short enough to tell back.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(ECHO) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(query: &str, expect: Result<u32, Code>) {
        assert_eq!(count(Some(query), 1_000_000).map_err(|problem| problem.code), expect, "{query}");
    }

    #[test]
    fn counts() {
        assert_eq!(count(None, 5), Ok(1));
        check("", Ok(1));
        check("&", Ok(1));
        check("count=1", Ok(1));
        check("count=1000000", Ok(1_000_000));
        check("count=%31%30", Ok(10));
        check("%63ount=3", Ok(3));
        check("count=007", Ok(7));
        for bad in ["count=0", "count=-1", "count=1000001", "count=1000000000000", "count=99999999999999999999999"] {
            check(bad, Err(Code::CountOutOfRange));
        }
        for bad in [
            "count",
            "count=",
            "count=abc",
            "count=1.5",
            "count=1e3",
            "count=+5",
            "count=10^12",
            "count=5%",
            "count=%ff",
            "count=-",
            "count=5;",
            "count= 5",
            "count=٣",
        ] {
            check(bad, Err(Code::CountInvalid));
        }
        for bad in ["count=5&count=6", "cuont=5", "n=5", "COUNT=5", "count=5&x", "=", "=5"] {
            check(bad, Err(Code::QueryInvalid));
        }
    }

    #[test]
    fn a_mistyped_key_is_told_the_right_one() {
        assert!(count(Some("cuont=5"), 10).unwrap_err().detail.contains("did you mean count?"));
        assert!(count(Some("zzz=5"), 10).unwrap_err().detail.contains("knows only count"));
        let long = count(Some(&"x".repeat(10_000)), 10).unwrap_err();
        assert!(long.detail.len() < 200, "{}", long.detail);
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in "\\PC{0,60}", limit in 1u32..) {
            if let Ok(count) = count(Some(&query), limit) {
                prop_assert!((1..=limit).contains(&count));
            }
        }
    }
}
