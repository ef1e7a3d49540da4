//! For programs: one JSON object a line.

use std::io::Write;
use std::str;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{headers, key, payload, plain, time};
use crate::batch::Batch;
use crate::sink::console::json::{Json, Token};

/// Adds one event, without a newline after it.
///
/// `payload` is JSON where it is JSON, else text; null is a tombstone. Bytes that are not UTF-8 are `{"base64": "…"}`.
/// `headers` is a list of pairs, because names may come twice.
pub(super) fn event(text: &mut Vec<u8>, batch: &Batch, row: usize) {
    text.extend_from_slice(b"{\"payload\":");
    match payload(batch, row).map(|bytes| (bytes, Json::new(bytes))) {
        None => text.extend_from_slice(b"null"),
        Some((_, Some(json))) => compact(text, json),
        Some((bytes, None)) => string(text, bytes),
    }
    if let Some(key) = key(batch, row) {
        text.extend_from_slice(b",\"key\":");
        string(text, key);
    }
    pairs(text, batch, row);
    text.extend_from_slice(b",\"timestamp\":\"");
    time(text, batch.timestamps()[row]);
    text.extend_from_slice(b"\",\"partition\":");
    string(text, batch.origin().partition_of(row).as_str().as_bytes());
    // A vector takes everything.
    write!(text, ",\"position\":{}}}", batch.origin().positions()[row]).ok();
}

fn pairs(text: &mut Vec<u8>, batch: &Batch, row: usize) {
    let mut separator: &[u8] = b",\"headers\":[";
    for (name, value) in headers(batch, row) {
        text.extend_from_slice(separator);
        text.push(b'[');
        string(text, name);
        text.push(b',');
        match value {
            Some(value) => string(text, value),
            None => text.extend_from_slice(b"null"),
        }
        text.push(b']');
        separator = b",";
    }
    if separator == b"," {
        text.push(b']');
    }
}

fn compact(text: &mut Vec<u8>, json: Json) {
    for token in json.tokens() {
        match token {
            Token::Mark(mark) => text.push(mark),
            Token::Text(token) | Token::Bare(token) => plain(text, token.as_bytes()),
        }
    }
}

/// Bytes as a JSON string.
fn string(text: &mut Vec<u8>, bytes: &[u8]) {
    let Ok(valid) = str::from_utf8(bytes) else {
        text.extend_from_slice(b"{\"base64\":\"");
        text.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        return text.extend_from_slice(b"\"}");
    };
    // A string can always be written, and what JSON leaves as it is, terminals may not.
    plain(text, serde_json::Value::from(valid).to_string().as_bytes());
}
