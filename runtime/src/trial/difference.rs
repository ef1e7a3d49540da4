//! What happened, held against what is expected.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::bed::{Fate, Made};
use super::case::{Expect, Outcome, Request};
use super::content::{Content, shown};
use super::event::Given;
use super::happened::{Happened, Told};
use super::script::Asked;
use super::word::Word;

/// Something that may be expected, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Open,
    Outcome,
    Values,
    Close,
    Requests,
    Files,
    Log,
}

impl Part {
    /// In the order in which they are told and written.
    pub(super) const ALL: [Part; 7] =
        [Part::Open, Part::Outcome, Part::Values, Part::Close, Part::Requests, Part::Files, Part::Log];

    /// What it is called in files.
    pub(super) fn key(self) -> &'static str {
        match self {
            Part::Open => "open",
            Part::Outcome => "outcome",
            Part::Values => "values",
            Part::Close => "close",
            Part::Requests => "requests",
            Part::Files => "files",
            Part::Log => "log",
        }
    }

    /// Every difference in it.
    pub(super) fn differences(self, expect: &Expect, happened: &Happened) -> Vec<String> {
        let mut found = Vec::new();
        match self {
            Part::Open => end("open", expect.open.as_ref(), happened.open.as_ref(), &mut found),
            Part::Close => end("close", expect.close.as_ref(), happened.close.as_ref(), &mut found),
            Part::Outcome => match (&expect.outcome, &happened.fate) {
                (Some(outcome), Some(fate)) => found.extend(outcome_differs(outcome, fate)),
                // That it does not open is told where that is not expected.
                (Some(_), None) if expect.open.is_some() => {
                    found.push("outcome: there is none, since it did not open".to_owned())
                }
                _ => {}
            },
            Part::Values if happened.fate.is_some() => {
                lists("value", expect.values.as_deref(), &happened.values, value_differs, &mut found);
            }
            Part::Values => {}
            Part::Requests => {
                lists("request", expect.requests.as_deref(), &happened.requests, request_differs, &mut found);
            }
            Part::Files => expect.files.iter().for_each(|files| files_differ(files, &happened.files, &mut found)),
            Part::Log => lists("line", expect.log.as_deref(), &happened.printed, line_differs, &mut found),
        }
        found
    }
}

/// Every difference, each in words for people. Empty where everything is as it is expected.
pub(super) fn differences(expect: &Expect, happened: &Happened) -> Vec<String> {
    let mut found: Vec<String> = Part::ALL.iter().flat_map(|part| part.differences(expect, happened)).collect();
    found.extend(oddities(happened));
    found
}

/// What nobody can expect: requests without an answer, answers without a request, connections that went another way.
pub(super) fn oddities(happened: &Happened) -> Vec<String> {
    let unanswered = (1..).zip(&happened.requests).filter(|(_, asked)| !asked.answered);
    let unanswered = unanswered
        .map(|(number, asked)| format!("request {number}: `answers` has none for it: {} {}", asked.method, asked.url));
    let unused = happened.unused.iter().map(|number| format!("answer {number}: no request came for it"));
    unanswered.chain(unused).chain(happened.odd.iter().cloned()).collect()
}

fn differs(expected: impl Display, found: impl Display) -> String {
    format!("expected {expected}, found {found}")
}

/// How a call that answers with nothing else ended.
fn end(what: &str, expected: Option<&Word>, happened: Option<&Told>, found: &mut Vec<String>) {
    match (expected, happened) {
        (Some(expected), Some(told)) if expected.fits(&told.word) => {}
        (Some(expected), Some(told)) => found.push(format!("{what}: {}", differs(expected, &told.message))),
        (Some(expected), None) => found.push(format!("{what}: {}", differs(expected, "that it succeeded"))),
        (None, Some(told)) => found.push(format!("{what}: it failed: {}", told.message)),
        (None, None) => {}
    }
}

fn outcome_differs(expected: &Outcome, fate: &Fate) -> Option<String> {
    let fits = match (expected, fate) {
        (Outcome::All(word), Fate::Whole(failure) | Fate::Lost(failure)) => word.fits(&Word::of(failure)),
        (Outcome::All(word), Fate::Each(words)) => words.iter().all(|found| word.fits(found)),
        (Outcome::Each(_), Fate::Whole(_) | Fate::Lost(_)) => false,
        (Outcome::Each(expected), Fate::Each(words)) => {
            expected.len() == words.len() && expected.iter().zip(words).all(|(expected, found)| expected.fits(found))
        }
    };
    let list = |words: &[Word]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let expected = match expected {
        Outcome::All(word) => format!("\"{word}\""),
        Outcome::Each(words) => format!("[{}]", list(words)),
    };
    let happened = match fate {
        Fate::Whole(failure) => format!("\"{}\" of the whole batch: {}", Word::of(failure), failure.message),
        Fate::Lost(failure) => format!("\"{}\", and the instance lost: {}", Word::of(failure), failure.message),
        Fate::Each(words) => format!("[{}]", list(words)),
    };
    (!fits).then(|| format!("outcome: {}", differs(expected, happened)))
}

/// Two lists, item by item, where one is expected.
fn lists<E, F>(
    what: &str,
    expected: Option<&[E]>,
    happened: &[F],
    differs: impl Fn(&E, &F) -> Vec<String>,
    found: &mut Vec<String>,
) {
    let Some(expected) = expected else { return };
    for (number, (expected, happened)) in (1..).zip(expected.iter().zip(happened)) {
        found.extend(differs(expected, happened).iter().map(|difference| format!("{what} {number}: {difference}")));
    }
    if expected.len() != happened.len() {
        found.push(format!("{what}s: expected {} of them, found {}", expected.len(), happened.len()));
    }
}

/// Keys and headers count where they are expected.
fn value_differs(expected: &Given, made: &Made) -> Vec<String> {
    let mut found = Vec::new();
    let said = |bytes: &Option<Vec<u8>>, none: &str| bytes.as_deref().map_or_else(|| none.to_owned(), shown);
    match (&expected.payload, &made.payload) {
        (Some(expected), Some(payload)) if expected.fits(payload) => {}
        (Some(expected), payload) => found.push(differs(expected, said(payload, "a tombstone"))),
        (None, Some(payload)) => found.push(differs("a tombstone", shown(payload))),
        (None, None) => {}
    }
    if let Some(key) = &expected.key
        && !made.key.as_ref().is_some_and(|made| key.fits(made))
    {
        found.push(format!("key: {}", differs(key, said(&made.key, "none"))));
    }
    for (name, value) in &expected.headers {
        let is = made.headers.get(name).map_or("none", String::as_str);
        if is != value {
            found.push(format!("header `{name}`: {}", differs(value, is)));
        }
    }
    found
}

/// Loggers put times and levels before what is said.
fn line_differs(expected: &String, found: &String) -> Vec<String> {
    if found.contains(expected) { Vec::new() } else { vec![differs(format!("{expected:?}"), format!("{found:?}"))] }
}

fn request_differs(expected: &Request, asked: &Asked) -> Vec<String> {
    let Request { method, url, headers, body } = expected;
    let mut found = Vec::new();
    for (expected, asked) in [(method, &asked.method), (url, &asked.url)] {
        found.extend(expected.as_ref().filter(|expected| *expected != asked).map(|expected| differs(expected, asked)));
    }
    for (name, value) in headers {
        let is = asked.headers.get(name).map_or("none", |value| value.to_str().unwrap_or("bytes that are no text"));
        if is != value {
            found.push(format!("header `{name}`: {}", differs(value, is)));
        }
    }
    if let Some(body) = body.as_ref().filter(|body| !body.fits(&asked.body)) {
        found.push(format!("body: {}", differs(body, shown(&asked.body))));
    }
    found
}

fn files_differ(expected: &BTreeMap<String, Content>, happened: &BTreeMap<String, Vec<u8>>, found: &mut Vec<String>) {
    for (path, content) in expected {
        match happened.get(path) {
            Some(is) if content.fits(is) => {}
            Some(is) => found.push(format!("file `{path}`: {}", differs(content, shown(is)))),
            None => found.push(format!("file `{path}`: it is not there")),
        }
    }
    for (path, content) in happened.iter().filter(|(path, _)| !expected.contains_key(*path)) {
        found.push(format!("file `{path}`: nobody expects it: {}", shown(content)));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::sink::Failure;

    fn happened() -> Happened {
        let mut headers = HeaderMap::new();
        headers.insert("a", "b".parse().unwrap());
        let asked =
            Asked { method: "POST".into(), url: "http://a/".into(), headers, body: b"{}".into(), answered: true };
        Happened {
            open: None,
            fate: Some(Fate::Each(vec![Word::Done, "rejected: bad".parse().unwrap()])),
            values: vec![Made { payload: Some(b"v".to_vec()), ..Made::default() }, Made::default()],
            close: None,
            requests: vec![asked],
            unused: Vec::new(),
            odd: Vec::new(),
            files: [("/out/a".to_owned(), b"a".to_vec())].into(),
            printed: vec!["line".to_owned()],
            warned: Vec::new(),
        }
    }

    fn told(expect: &str, happened: &Happened) -> String {
        differences(&toml::from_str(expect).unwrap(), happened).join("\n")
    }

    #[test]
    fn what_is_not_said_may_be_anything() {
        assert_eq!(told("", &happened()), "");
        let all = "outcome = ['written', 'rejected']\nlog = ['line']\nfiles = { '/out/a' = 'a' }\n\
                   requests = [{ method = 'POST', url = 'http://a/', headers = { A = 'b' }, body.json = {} }]";
        assert_eq!(told(all, &happened()), "");
    }

    #[test]
    fn every_difference_is_told() {
        let all = "outcome = 'written'\nvalues = ['w', { payload = 'x', key = 'k', headers = { h = 'i' } }]\nlog = ['line', 'more']\nfiles = { '/out/b' = '' }\nopen = 'halted'\n\
                   requests = [{ method = 'GET', url = 'http://b/', headers = { c = 'd' }, body = '' }]\nclose = 'unknown'";
        let expected = [
            "open: expected halted, found that it succeeded",
            "outcome: expected \"written\", found [\"written\", \"rejected: bad\"]",
            "value 1: expected \"w\", found \"v\"",
            "value 2: expected \"x\", found a tombstone",
            "value 2: key: expected \"k\", found none",
            "value 2: header `h`: expected i, found none",
            "close: expected unknown, found that it succeeded",
            "request 1: expected GET, found POST",
            "request 1: expected http://b/, found http://a/",
            "request 1: header `c`: expected d, found none",
            "request 1: body: expected \"\", found \"{}\"",
            "file `/out/b`: it is not there",
            "file `/out/a`: nobody expects it: \"a\"",
            "lines: expected 2 of them, found 1",
        ];
        assert_eq!(told(all, &happened()), expected.join("\n"));
    }

    #[test]
    fn where_it_does_not_open_there_is_no_outcome() {
        let failure = Failure::halted("config", "no");
        let open = Some(Told::of(&failure));
        let happened = Happened { open, fate: None, ..happened() };
        assert_eq!(told("open = 'halted: config'", &happened), "");
        let told = told("open = 'halted: config'\noutcome = 'written'", &happened);
        assert_eq!(told, "outcome: there is none, since it did not open");
    }

    #[test]
    fn what_nobody_thought_of_is_told_even_where_nothing_is_expected() {
        let failed = |failure: Failure| Some(Told::of(&failure));
        let mut requests = happened().requests;
        requests[0].answered = false;
        let odd = Happened {
            open: failed(Failure::halted("config", "no")),
            close: failed(Failure::unknown("lost", "perhaps")),
            unused: vec![2],
            odd: vec!["connection 1: no".to_owned()],
            requests,
            ..happened()
        };
        let expected = [
            "open: it failed: halted (config): no",
            "close: it failed: unknown (lost): perhaps",
            "request 1: `answers` has none for it: POST http://a/",
            "answer 2: no request came for it",
            "connection 1: no",
        ];
        assert_eq!(told("", &odd), expected.join("\n"));
    }
}
