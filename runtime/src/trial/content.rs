//! Bytes, as people write them down: text, JSON, or base64.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So much of something long is shown.
const SHOWN: usize = 300;

/// Text, or a table with `json` or `base64`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// Any text that says the same in JSON.
    Json(Value),
}

impl Content {
    /// The bytes; of JSON, its shortest form.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Json(value) => value.to_string().into_bytes(),
        }
    }

    /// Whether these bytes are meant.
    pub(super) fn fits(&self, found: &[u8]) -> bool {
        match self {
            Content::Bytes(bytes) => bytes == found,
            Content::Json(value) => serde_json::from_slice::<Value>(found).is_ok_and(|found| found == *value),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&shown(&self.bytes()))
    }
}

/// Bytes for people: text in quotes as Rust has them, and not all of it.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = match str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("base64 {}", BASE64_STANDARD.encode(bytes)),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

impl Default for Content {
    /// Nothing.
    fn default() -> Content {
        Content::Bytes(Vec::new())
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text, or a table such as { json = { mag = 5.1 } } or { base64 = \"AP8=\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Bytes(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
        #[derive(Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            json: Option<Value>,
            base64: Option<String>,
        }
        match Table::deserialize(MapAccessDeserializer::new(map))? {
            Table { json: Some(json), base64: None } => Ok(Content::Json(json)),
            Table { json: None, base64: Some(text) } => match BASE64_STANDARD.decode(&text) {
                Ok(bytes) => Ok(Content::Bytes(bytes)),
                Err(_) => Err(de::Error::custom(format!("`{text}` is not base64: write `base64 = \"AP8=\"`"))),
            },
            _ => Err(de::Error::custom("one of `json` and `base64` is meant: write one of them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_exact_and_json_is_what_it_says() {
        let read = |text: &str| -> Content { serde_json::from_str(text).unwrap() };
        assert!(read(r#""a b""#).fits(b"a b") && !read(r#""a b""#).fits(b"a  b"));
        assert!(read(r#"{"base64": "AP8="}"#).fits(&[0, 255]));
        let json = read(r#"{"json": {"a": [1, null]}}"#);
        assert!(json.fits(br#" { "a" : [ 1 , null ] } "#) && !json.fits(b"no"));
        assert!(serde_json::from_str::<Content>(r#"{"base64": "!"}"#).unwrap_err().to_string().contains("not base64"));
        assert!(serde_json::from_str::<Content>("{}").is_err());
    }

    #[test]
    fn what_is_long_is_cut_at_a_character() {
        let text = shown("é".repeat(1000).as_bytes());
        assert!(text.ends_with("é… (2000 bytes)"), "{text}");
        assert_eq!(shown(b"a\n"), "\"a\\n\"");
        assert_eq!(shown(&[255]), "base64 /w==");
    }
}
