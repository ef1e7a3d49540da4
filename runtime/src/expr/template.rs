//! Templates: texts such as `quakes/{event:/net}/{time:%Y-%m-%d}.ndjson`, filled in for each event.

use std::fmt;
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::items::descend;
use super::json::Unreadable;
use super::row::{header, key, payload};
use super::syntax::SyntaxError;
use super::value::Value;
use crate::batch::Batch;

/// A text with places that an event fills: `{key}`, `{header:NAME}`, `{event:/POINTER}`, `{time:FORMAT}`; `{{` and
/// `}}` are braces. Cloning is cheap.
#[derive(Clone)]
pub struct Template {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Key,
    Header(Box<str>),
    /// The steps of a JSON pointer. One that is a number is a place in a list or a name in a map.
    Event(Box<[Box<str>]>),
    Time(Box<[Item<'static>]>),
    /// Percent-encoded, but for what is a letter, a digit or one of `-._~`.
    Encoded(Box<Part>),
}

/// An event does not have what a template needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no key, or it is not UTF-8.
    #[error("the event has no key that is text, which the template `{{key}}` needs")]
    Key,
    /// There is no such header, or its value is null or not UTF-8.
    #[error("the event has no header `{0}` that is text, which the template `{{header:{0}}}` needs")]
    Header(Box<str>),
    /// The payload has no such field, or it is null, a list or a map.
    #[error("the payload has no text, number or boolean at `{0}`, which the template `{{event:{0}}}` needs")]
    Field(Box<str>),
    /// The event's time is out of the range of dates.
    #[error("the event's time is out of range, which the template `{{time:…}}` needs")]
    Time,
}

impl Template {
    /// Reads a template.
    ///
    /// Fails at a brace that does not pair, a place that is not known, a pointer or a time format that is none.
    pub fn parse(text: &str) -> Result<Template, SyntaxError> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            plain.push_str(&rest[..brace]);
            let offset = text.len() - rest.len() + brace;
            rest = &rest[brace..];
            if let Some(escaped) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push_str(&rest[..1]);
                rest = escaped;
                continue;
            }
            let error = |message: &str| SyntaxError { message: message.into(), offset: Some(offset) };
            let inside = rest.strip_prefix('{').ok_or_else(|| error("`}` without `{`: a brace itself is `}}`"))?;
            let (place, after) =
                inside.split_once('}').ok_or_else(|| error("`{` without `}`: a brace itself is `{{`"))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(Part::parse(place).map_err(|message| SyntaxError { message, offset: Some(offset + 1) })?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Template { text: text.into(), parts: parts.into() })
    }

    /// The same for a URL: what an event fills in is percent-encoded, so that it stays in its place.
    #[must_use]
    pub fn percent_encoded(self) -> Template {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(_) | Part::Encoded(_) => part.clone(),
            other => Part::Encoded(Box::new(other.clone())),
        });
        Template { text: self.text, parts: parts.collect() }
    }

    /// What all of them give, a line each: for telling events apart that differ in any.
    pub fn joined<'a>(templates: impl IntoIterator<Item = &'a Template>) -> Template {
        let (mut text, mut parts) = (String::new(), Vec::new());
        for template in templates {
            if !parts.is_empty() {
                text.push('\n');
                parts.push(Part::Text("\n".into()));
            }
            text.push_str(&template.text);
            parts.extend(template.parts.iter().cloned());
        }
        Template { text: text.into(), parts: parts.into() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gives for every event, if that is one text.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first place.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// What it gives an event that fills each place with `x`.
    pub fn outline(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            _ => "x".into(),
        };
        self.parts.iter().map(text).collect()
    }

    /// Whether it gives every event the same text.
    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// Whether it reads what events carry.
    pub fn reads_payload(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Event(_)))
    }

    /// Appends what it gives for one event. The event must be in the batch.
    ///
    /// Fails when the event lacks something; what was appended until then stays.
    pub fn render(&self, batch: &Batch, row: usize, out: &mut String) -> Result<(), Missing> {
        self.parts.iter().try_for_each(|part| part.render(batch, row, out))
    }
}

impl Part {
    fn parse(place: &str) -> Result<Part, String> {
        match place.split_once(':').unwrap_or((place, "")) {
            ("key", "") => Ok(Part::Key),
            ("header", name) if !name.is_empty() => Ok(Part::Header(name.into())),
            ("header", _) => Err("a header needs its name: `{header:NAME}`".into()),
            ("event", pointer) => Part::pointer(pointer),
            ("time", "") => Err("a time needs its format: `{time:%Y-%m-%d}`".into()),
            ("time", format) => {
                let items = StrftimeItems::new(format).parse_to_owned();
                let items =
                    items.map_err(|_| format!("`{format}` is no format of a time: expected one such as `%Y-%m-%d`"))?;
                Ok(Part::Time(items.into()))
            }
            _ => Err(format!(
                "unknown place `{{{place}}}`: there are `{{key}}`, `{{header:NAME}}`, `{{event:/FIELD}}` and `{{time:%Y-%m-%d}}`"
            )),
        }
    }

    fn pointer(pointer: &str) -> Result<Part, String> {
        let steps = pointer.strip_prefix('/').ok_or_else(|| {
            format!(
                "`{pointer}` is no JSON pointer: expected a field such as `{{event:/{}}}`",
                pointer.replace('.', "/")
            )
        })?;
        Ok(Part::Event(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~").into()).collect()))
    }

    fn render(&self, batch: &Batch, row: usize, out: &mut String) -> Result<(), Missing> {
        match self {
            Part::Text(text) => out.push_str(text),
            Part::Key => {
                out.push_str(text(key(batch, row)).ok_or(Missing::Key)?);
            }
            Part::Header(name) => {
                let value = header(batch.headers(), row, name).flatten();
                out.push_str(text(value).ok_or_else(|| Missing::Header(name.clone()))?);
            }
            Part::Event(steps) => {
                let missing = || {
                    Missing::Field(
                        steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect(),
                    )
                };
                field(payload(batch, row), steps, out).map_err(|Unreadable| missing())?;
            }
            Part::Time(items) => {
                let time = DateTime::from_timestamp_millis(batch.timestamps()[row]).ok_or(Missing::Time)?;
                write!(out, "{}", time.format_with_items(items.iter())).map_err(|_| Missing::Time)?;
            }
            Part::Encoded(part) => {
                let start = out.len();
                part.render(batch, row, out)?;
                percent_encode(out, start);
            }
        }
        Ok(())
    }
}

fn text(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

/// Encodes what stands from `start` on, but for the characters that have no other meaning anywhere in a URL (RFC 3986,
/// section 2.3).
fn percent_encode(text: &mut String, start: usize) {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.as_bytes()[start..].iter().copied().all(unreserved) {
        return;
    }
    let plain = text.split_off(start);
    for byte in plain.bytes() {
        match unreserved(byte) {
            true => text.push(char::from(byte)),
            false => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// Appends a field that is a text, a number or a boolean.
fn field(payload: Option<&[u8]>, steps: &[Box<str>], out: &mut String) -> Result<(), Unreadable> {
    let mut json = payload.ok_or(Unreadable)?;
    for step in steps {
        json = descend(json, step)?;
    }
    match Value::from_json(json)? {
        Value::Text(text) => out.push_str(&text),
        // As it is written: a number keeps its digits.
        Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Double(_) => {
            out.push_str(std::str::from_utf8(json).map_err(|_| Unreadable)?);
        }
        _ => return Err(Unreadable),
    }
    Ok(())
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).finish()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl FromStr for Template {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Template, SyntaxError> {
        Template::parse(text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::parse(&text).map_err(|error| D::Error::custom(error.in_text(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn rendered(template: &str) -> Result<String, Missing> {
        let mut builder = BatchBuilder::new();
        let event = Event {
            payload: Some(
                br#"{"id":"a\u00e4","net":"us","mag":4.50,"ok":true,"none":null,"in":{"1":[7,"x/y"]},"a/b":1}"#,
            ),
            key: Some(b"k1"),
            timestamp: 1_517_363_399_650,
            headers: &[(b"h", b"one"), (b"h", b"two"), (b"bad", b"\xff")],
            position: 0,
        };
        builder.push(&Partition::new("p"), Event::default());
        builder.push(&Partition::new("p"), event);
        let batch = builder.finish().unwrap();
        let mut out = String::new();
        Template::parse(template).unwrap().render(&batch, 1, &mut out).map(|()| out)
    }

    #[test]
    fn an_event_fills_its_places() {
        let cases = [
            ("plain", "plain"),
            ("", ""),
            ("{{x}}", "{x}"),
            ("a/{key}.log", "a/k1.log"),
            ("{header:h}", "one"),
            ("{event:/net}-{event:/mag}-{event:/ok}", "us-4.50-true"),
            ("{event:/id}", "aä"),
            ("{event:/in/1/1}", "x/y"),
            ("{event:/in/1/0}", "7"),
            ("{event:/a~1b}", "1"),
            ("{time:%Y-%m-%d}/{time:%H:%M:%S%.3f}", "2018-01-31/01:49:59.650"),
        ];
        for (template, expected) in cases {
            assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_an_event_lacks_is_named() {
        let field = |pointer: &str| Missing::Field(pointer.into());
        let cases = [
            ("{header:other}", Missing::Header("other".into())),
            ("{header:bad}", Missing::Header("bad".into())),
            ("{event:/none}", field("/none")),
            ("{event:/other}", field("/other")),
            ("{event:/in}", field("/in")),
            ("{event:/in/1/2}", field("/in/1/2")),
            ("{event:/net/x}", field("/net/x")),
            ("{event:/a~1b~0c}", field("/a~1b~0c")),
        ];
        for (template, missing) in cases {
            assert_eq!(rendered(template), Err(missing), "{template}");
        }
        let bare = crate::expr::tests::lines("not json");
        let render = |template: &str| Template::parse(template).unwrap().render(&bare, 0, &mut String::new());
        assert_eq!(render("{key}"), Err(Missing::Key));
        assert_eq!(render("{event:/a}"), Err(field("/a")));
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_place() {
        let cases = [
            ("a{key", 1, "`{` without `}`"),
            ("a}b", 1, "`}` without `{`"),
            ("x/{id}", 3, "unknown place `{id}`"),
            ("{key:x}", 1, "unknown place `{key:x}`"),
            ("{header}", 1, "a header needs its name"),
            ("{event:mag.x}", 1, "expected a field such as `{event:/mag/x}`"),
            ("{event}", 1, "no JSON pointer"),
            ("{time}", 1, "a time needs its format"),
            ("{time:%Q}", 1, "`%Q` is no format"),
        ];
        for (template, offset, message) in cases {
            let error = Template::parse(template).unwrap_err();
            assert_eq!(error.offset, Some(offset), "{template}");
            assert!(error.message.contains(message), "{template}: {}", error.message);
        }
    }

    #[test]
    fn one_without_places_is_constant() {
        assert_eq!(Template::parse("a{{b}}").unwrap().constant(), Some("a{b}"));
        assert!(Template::parse("").unwrap().is_constant());
        assert!(!Template::parse("a{key}").unwrap().is_constant());
        let template = Template::parse("a{{{key}/{event:/b/c}").unwrap();
        assert_eq!((template.prefix(), template.outline()), ("a{", "a{x/x".into()));
        assert_eq!(Template::parse("{key}").unwrap().prefix(), "");
    }

    /// One event with a key.
    fn keyed(key: &str) -> Batch {
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::new("p"), Event { key: Some(key.as_bytes()), ..Event::default() });
        builder.finish().unwrap()
    }

    #[test]
    fn in_a_url_an_event_fills_its_place_and_no_more() {
        let mut out = String::new();
        let template = Template::parse("/x?{key}").unwrap().percent_encoded();
        template.render(&keyed("a/ä?b=.-_~&#%"), 0, &mut out).unwrap();
        assert_eq!(out, "/x?a%2F%C3%A4%3Fb%3D.-_~%26%23%25");
    }

    #[test]
    fn joined_templates_tell_events_apart_that_differ_in_any() {
        let [a, b] = ["{key}", "x-{key}"].map(|text| Template::parse(text).unwrap().percent_encoded());
        let mut out = String::new();
        Template::joined([&a, &b]).render(&keyed("k/1"), 0, &mut out).unwrap();
        assert_eq!(out, "k%2F1\nx-k%2F1");
    }

    #[test]
    fn it_is_its_text_in_a_document() {
        let template: Template = serde_json::from_str(r#""a/{key}""#).unwrap();
        assert_eq!(serde_json::to_string(&template).unwrap(), r#""a/{key}""#);
        let error = serde_json::from_str::<Template>(r#""ab{id}""#).unwrap_err();
        assert!(error.to_string().contains("(column 4)"), "{error}");
    }
}
