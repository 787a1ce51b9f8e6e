//! What is wrong with a manifest: where, which key, what it says, what is allowed and how to mend it.

use serde::Serialize;
use std::fmt;

/// A place in the manifest's text and the key it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Dotted path such as `regions.us-east.workers.quota`; empty for the file as a whole.
    pub key: String,
}

/// One mistake. Printed as `file:line:column: key: message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub key: String,
    /// `what it says; allowed: …; fix: …`
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, column, key, message } = self;
        let colon = if key.is_empty() { "" } else { ": " };
        write!(f, "{file}:{line}:{column}: {key}{colon}{message}")
    }
}

/// Every mistake of one file. As an error it prints one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    pub fn in_file(file: &str) -> Problems {
        Problems { file: file.to_owned(), found: Vec::new() }
    }

    /// Notes one mistake. There is no way to note one without saying what is allowed and what to do.
    pub fn add(&mut self, at: &Place, what: impl fmt::Display, allowed: impl fmt::Display, fix: impl fmt::Display) {
        self.found.push(Problem {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            key: at.key.clone(),
            message: format!("{what}; allowed: {allowed}; fix: {fix}"),
        });
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the text.
    pub fn sorted(mut self) -> Problems {
        self.found.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A value as a message quotes it: in quotes, escaped, and never a screenful.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The candidate that `word` most likely meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
