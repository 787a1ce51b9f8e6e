//! Which representation of an answer a client wants: `Accept`, read as RFC 9110 says.

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// How ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// A JSON document.
    Json,
    /// One JSON string a line, sent as a stream.
    Lines,
    /// Digits, one id a line.
    Text,
    /// Eight bytes an id, big-endian.
    Bytes,
}

impl Representation {
    /// How many there are.
    const ALL: usize = 4;

    pub const fn media_type(self) -> &'static str {
        match self {
            Representation::Json => "application/json",
            Representation::Lines => "application/x-ndjson",
            Representation::Text => "text/plain; charset=utf-8",
            Representation::Bytes => "application/octet-stream",
        }
    }

    /// Type and subtype, without parameters.
    pub fn essence(self) -> &'static str {
        self.media_type().split(';').next().unwrap_or_default()
    }
}

/// The one of `offered` (best first) the client likes best; `None` if it takes none of them. No `Accept` takes all.
pub fn choose(headers: &HeaderMap, offered: &[Representation]) -> Option<Representation> {
    // How much each is liked: as the most specific range that matches it says.
    let mut liked = [None; Representation::ALL];
    let mut takes_all = true;
    for value in headers.get_all(ACCEPT) {
        for wanted in value.to_str().ok()?.split(',').filter_map(Wanted::parse) {
            takes_all = false;
            for (liked, representation) in liked.iter_mut().zip(offered) {
                *liked = (*liked).max(wanted.specificity(representation.essence()).zip(Some(wanted.q)));
            }
        }
    }
    if takes_all {
        return offered.first().copied();
    }
    let mut best: Option<(Representation, u16)> = None;
    for (&representation, liked) in offered.iter().zip(liked) {
        if let Some((_, q)) = liked
            && q > 0
            && best.is_none_or(|(_, best)| q > best)
        {
            best = Some((representation, q));
        }
    }
    best.map(|(representation, _)| representation)
}

/// One range of `Accept`, with its weight in thousandths.
struct Wanted<'a> {
    range: &'a str,
    q: u16,
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Option<Wanted<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next().filter(|range| !range.is_empty())?;
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let q = match q.map(str::parse::<f32>) {
            None => 1.0,
            Some(Ok(q)) if (0.0..=1.0).contains(&q) => q,
            Some(_) => return None,
        };
        Some(Wanted { range, q: (q * 1_000.0) as u16 })
    }

    fn specificity(&self, essence: &str) -> Option<u8> {
        if self.range.eq_ignore_ascii_case(essence) {
            return Some(2);
        }
        let kind = essence.split('/').next().unwrap_or_default();
        match self.range.split_once('/') {
            Some(("*", "*")) => Some(0),
            Some((wanted, "*")) if wanted.eq_ignore_ascii_case(kind) => Some(1),
            _ if self.range == "*" => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Representation::*;

    fn check(accept: &[&'static str], expect: Option<Representation>) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        assert_eq!(choose(&headers, &[Json, Lines, Text, Bytes]), expect, "{accept:?}");
    }

    #[test]
    fn accept() {
        check(&[], Some(Json));
        check(&[""], Some(Json));
        check(&["*/*"], Some(Json));
        check(&["text/plain"], Some(Text));
        check(&["TEXT/Plain; charset=utf-8"], Some(Text));
        check(&["text/*"], Some(Text));
        check(&["text/html, application/xhtml+xml, */*;q=0.8"], Some(Json));
        check(&["application/json;q=0.5, application/octet-stream"], Some(Bytes));
        check(&["application/json;q=0, */*"], Some(Lines));
        check(&["application/x-ndjson", "text/plain;q=0.1"], Some(Lines));
        check(&["text/html"], None);
        check(&["application/json;q=0"], None);
        check(&["application/json;q=nonsense"], Some(Json));
        check(&["*"], Some(Json));
    }
}
