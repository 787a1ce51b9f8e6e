//! Ids out of an answer's body, as ranges in the order in which they came. Nothing of an answer that is wrong in any
//! part is taken.

use super::line::Form;
use crate::id::{IdRange, Layout};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    id: Digits<'a>,
}

#[derive(Deserialize)]
struct Ranges<'a> {
    layout: Cow<'a, str>,
    #[serde(borrow)]
    ranges: Vec<Range<'a>>,
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(borrow)]
    first: Digits<'a>,
    count: u32,
}

/// A decimal id in a JSON string.
#[derive(Deserialize)]
#[serde(transparent)]
struct Digits<'a>(#[serde(borrow)] Cow<'a, str>);

impl Digits<'_> {
    fn value(&self) -> Result<u64, String> {
        self.0.parse().map_err(|_| format!("{:?} is no id", self.0.chars().take(40).collect::<String>()))
    }
}

/// Reads an answer to a request for `count` ids; says what is wrong with it.
pub fn read(form: Form, body: &[u8], count: u32, layout: Layout) -> Result<Vec<IdRange>, String> {
    let json = |error: serde_json::Error| format!("not the JSON that was asked for: {error}");
    let ranges = match form {
        Form::Id => {
            let one: One<'_> = serde_json::from_slice(body).map_err(json)?;
            vec![IdRange { first: one.id.value()?, count: 1 }]
        }
        Form::Ids => {
            let mut joined = Joined::new(layout);
            let mut text = serde_json::Deserializer::from_slice(body);
            joined.deserialize(&mut text).and_then(|()| text.end()).map_err(json)?;
            joined.ranges
        }
        Form::Ranges => {
            let answer: Ranges<'_> = serde_json::from_slice(body).map_err(json)?;
            if answer.layout != layout.name {
                return Err(format!("ids of the layout {:?}, not {}", answer.layout, layout.name));
            }
            let range = |range: &Range<'_>| Ok(IdRange { first: range.first.value()?, count: range.count });
            answer.ranges.iter().map(range).collect::<Result<_, String>>()?
        }
        Form::Bytes => {
            let (ids, rest) = body.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(format!("{} bytes are no whole number of ids", body.len()));
            }
            let mut joined = Joined::new(layout);
            ids.iter().for_each(|id| joined.push(u64::from_be_bytes(*id)));
            joined.ranges
        }
    };
    if let Some(range) = ranges.iter().find(|range| !layout.holds(**range)) {
        return Err(format!("{} ids from {} on are none of the layout {}", range.count, range.first, layout.name));
    }
    let came: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
    if came != u64::from(count) {
        return Err(format!("{came} ids instead of {count}"));
    }
    Ok(ranges)
}

/// Reads a JSON array of ids; consecutive ones become one range as they are read.
struct Joined {
    layout: Layout,
    ranges: Vec<IdRange>,
}

impl Joined {
    fn new(layout: Layout) -> Joined {
        Joined { layout, ranges: Vec::new() }
    }

    fn push(&mut self, id: u64) {
        // The number after a full millisecond's last id is another worker's.
        let starts = id.is_multiple_of(self.layout.ids_per_ms());
        match self.ranges.last_mut() {
            Some(range) if !starts && range.first.checked_add(u64::from(range.count)) == Some(id) => range.count += 1,
            _ => self.ranges.push(IdRange { first: id, count: 1 }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Joined {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Joined {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<(), A::Error> {
        while let Some(id) = ids.next_element::<Digits<'de>>()? {
            self.push(id.value().map_err(de::Error::custom)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SNOWFLAKE64;
    use proptest::prelude::*;

    fn check(form: Form, body: &str, count: u32, expect: Result<&[(u64, u32)], &str>) {
        match (read(form, body.as_bytes(), count, SNOWFLAKE64), expect) {
            (Ok(ranges), Ok(expect)) => {
                let ranges: Vec<_> = ranges.iter().map(|range| (range.first, range.count)).collect();
                assert_eq!(ranges, expect, "{body}");
            }
            (Err(why), Err(says)) => assert!(why.contains(says), "{body}: {why}"),
            (got, _) => panic!("{body}: {got:?}"),
        }
    }

    #[test]
    fn answers_and_what_is_wrong_with_them() {
        check(Form::Id, r#"{"id":"4242"}"#, 1, Ok(&[(4242, 1)]));
        check(Form::Id, r#"{"id":4242}"#, 1, Err("JSON"));
        check(Form::Id, r#"{"id":"-1"}"#, 1, Err("no id"));
        check(Form::Id, r#"{"id":"9223372036854775808"}"#, 1, Err("none of the layout"));
        check(Form::Id, "<html>", 1, Err("JSON"));
        check(Form::Ids, r#"["1","2","3","9"]"#, 4, Ok(&[(1, 3), (9, 1)]));
        check(Form::Ids, r#"["3","2","2"]"#, 3, Ok(&[(3, 1), (2, 1), (2, 1)]));
        check(Form::Ids, r#"["4095","4096"]"#, 2, Ok(&[(4095, 1), (4096, 1)]));
        check(Form::Ids, r#"["1","2"]"#, 3, Err("2 ids instead of 3"));
        check(Form::Ids, r#"["1","2"]..."#, 2, Err("JSON"));
        check(Form::Ids, r#"["1","#, 1, Err("JSON"));
        let ranges = |body: &str| format!(r#"{{"layout":"snowflake64","ranges":{body}}}"#);
        check(Form::Ranges, &ranges(r#"[{"first":"4096","count":4096}]"#), 4096, Ok(&[(4096, 4096)]));
        check(Form::Ranges, &ranges(r#"[{"first":"4097","count":4096}]"#), 4096, Err("none of the layout"));
        check(Form::Ranges, &ranges(r#"[{"first":"4097","count":0}]"#), 0, Err("none of the layout"));
        check(Form::Ranges, r#"{"layout":"wide128","ranges":[]}"#, 1, Err("wide128"));
        check(Form::Bytes, "\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02", 2, Ok(&[(1, 2)]));
        check(Form::Bytes, "\0\0\0\0\0\0\0\x01\0", 1, Err("whole number"));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in any::<Vec<u8>>(), count in any::<u32>()) {
            for form in [Form::Id, Form::Ids, Form::Ranges, Form::Bytes] {
                let _ = read(form, &body, count, SNOWFLAKE64);
            }
        }

        #[test]
        fn ids_come_back_in_their_order(ids in prop::collection::vec(0u64..9_000, 1..200)) {
            let json = serde_json::to_vec(&ids.iter().map(u64::to_string).collect::<Vec<_>>()).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
            for (form, body) in [(Form::Ids, json), (Form::Bytes, bytes)] {
                let ranges = read(form, &body, ids.len() as u32, SNOWFLAKE64).unwrap();
                prop_assert_eq!(ranges.iter().flat_map(|range| range.ids()).collect::<Vec<_>>(), ids.clone());
            }
        }
    }
}
