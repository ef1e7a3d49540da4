//! Writes down what happened as what is expected, into the file of the cases, of which everything else stays as it is.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::bed::{Fate, Made};
use super::case::{Case, Request};
use super::content::Content;
use super::difference::Part;
use super::happened::Happened;
use super::script::Asked;
use super::word::Word;

/// Headers that say how a request is sent, not what.
const OF_THE_CLIENT: [&str; 5] = ["content-length", "host", "user-agent", "accept-encoding", "transfer-encoding"];

/// A file of cases that is rewritten.
pub(super) struct Blessing(DocumentMut);

impl Blessing {
    /// None where the text is not TOML, which whoever read it before has told.
    pub(super) fn begin(text: &str) -> Option<Blessing> {
        text.parse().ok().map(Blessing)
    }

    /// Writes down what happened in case number `index`, from 0: all of it where nothing is expected yet, else what
    /// differs in what is. False where the case is not written as `[[case]]`, and stays as it is.
    pub(super) fn bless(&mut self, index: usize, case: &Case, happened: &Happened) -> bool {
        let cases = self.0.get_mut("case").and_then(Item::as_array_of_tables_mut);
        let Some(table) = cases.and_then(|cases| cases.get_mut(index)) else { return false };
        let is_new = case.expect.is_none();
        if is_new {
            table.insert("expect", Item::Table(Table::new()));
        }
        let Some(expect) = table.get_mut("expect").and_then(Item::as_table_like_mut) else { return false };
        let known = case.expect.clone().unwrap_or_default();
        for part in Part::ALL {
            let differs = !part.differences(&known, happened).is_empty();
            if is_new || differs {
                let requests = known.requests.as_deref().unwrap_or_default();
                write(expect, part.key(), value_of(part, happened, requests, !is_new));
            }
        }
        true
    }

    /// The file's text.
    pub(super) fn finish(self) -> String {
        self.0.to_string()
    }
}

/// Puts a value in the place of what is there, or takes that out.
fn write(expect: &mut dyn TableLike, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(expect.insert(key, Item::Value(value))),
        None => drop(expect.remove(key)),
    }
}

/// What is to be written of a part. Of what is new, what is empty says nothing.
fn value_of(part: Part, happened: &Happened, known: &[Request], even_empty: bool) -> Option<Value> {
    let list = |items: Vec<Value>| (even_empty || !items.is_empty()).then(|| lines(items));
    match part {
        Part::Open => happened.open.as_ref().map(|told| told.word.to_string().into()),
        Part::Close => happened.close.as_ref().map(|told| told.word.to_string().into()),
        Part::Outcome => happened.fate.as_ref().map(outcome),
        Part::Values => list(happened.values.iter().map(made).collect()),
        Part::Requests => {
            let known = known.iter().map(Some).chain(std::iter::repeat(None));
            list(happened.requests.iter().zip(known).map(|(asked, known)| request(asked, known)).collect())
        }
        Part::Files => {
            let mut files = InlineTable::new();
            for (path, bytes) in &happened.files {
                files.insert(path, content(bytes, false));
            }
            (even_empty || !files.is_empty()).then(|| files.into())
        }
        Part::Log => list(happened.printed.iter().map(Value::from).collect()),
    }
}

fn outcome(fate: &Fate) -> Value {
    match fate {
        Fate::Whole(failure) | Fate::Lost(failure) => Word::of(failure).to_string().into(),
        Fate::Each(words) if words.iter().all(|word| *word == Word::Done) => Word::Done.to_string().into(),
        Fate::Each(words) => Array::from_iter(words.iter().map(Word::to_string)).into(),
    }
}

/// As an event is written.
fn made(made: &Made) -> Value {
    if let (Some(payload), None, true) = (&made.payload, &made.key, made.headers.is_empty()) {
        return content(payload, false);
    }
    let mut value = InlineTable::new();
    for (name, bytes) in [("payload", &made.payload), ("key", &made.key)] {
        if let Some(bytes) = bytes {
            value.insert(name, content(bytes, false));
        }
    }
    if !made.headers.is_empty() {
        value.insert("headers", InlineTable::from_iter(&made.headers).into());
    }
    value.into()
}

/// As what is known of it was written: the same headers, JSON where that was JSON.
fn request(asked: &Asked, known: Option<&Request>) -> Value {
    let mut request = InlineTable::new();
    request.insert("method", asked.method.as_str().into());
    request.insert("url", asked.url.as_str().into());
    let mut headers = InlineTable::new();
    for (name, value) in &asked.headers {
        let is_meant = match known {
            Some(known) => known.headers.keys().any(|known| known.eq_ignore_ascii_case(name.as_str())),
            None => !OF_THE_CLIENT.contains(&name.as_str()),
        };
        if let (true, Ok(value)) = (is_meant, value.to_str()) {
            headers.insert(name.as_str(), value.into());
        }
    }
    if !headers.is_empty() {
        request.insert("headers", headers.into());
    }
    let body = known.and_then(|known| known.body.as_ref());
    if known.is_none() || body.is_some() {
        request.insert("body", content(&asked.body, matches!(body, Some(Content::Json(_)))));
    }
    request.into()
}

/// Bytes as they are written down.
fn content(bytes: &[u8], as_json: bool) -> Value {
    let table = |key: &str, value: Value| InlineTable::from_iter([(key, value)]).into();
    let json = || serde_json::from_slice(bytes).ok().and_then(|value| json(&value));
    match (as_json.then(json).flatten(), str::from_utf8(bytes)) {
        (Some(value), _) => table("json", value),
        (None, Ok(text)) => text.into(),
        (None, Err(_)) => table("base64", BASE64_STANDARD.encode(bytes).into()),
    }
}

/// JSON as TOML. None where something is null, for which TOML has no word, or a number that it can't say.
fn json(value: &serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(bool) => (*bool).into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None if number.is_f64() => number.as_f64()?.into(),
            None => return None,
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Array::from_iter(items.iter().map(json).collect::<Option<Vec<_>>>()?).into(),
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(name, value)| Some((name.as_str(), json(value)?)));
            InlineTable::from_iter(members.collect::<Option<Vec<_>>>()?).into()
        }
    })
}

/// A list, each item on a line of its own where there are several or it is long.
fn lines(items: Vec<Value>) -> Value {
    let mut list = Array::from_iter(items);
    if list.len() > 1 || list.iter().any(|item| item.is_inline_table()) {
        list.iter_mut().for_each(|item| item.decor_mut().set_prefix("\n  "));
        list.set_trailing("\n");
        list.set_trailing_comma(true);
    }
    list.into()
}
