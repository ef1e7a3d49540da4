//! For grep: one line of `name=value` pairs.

use std::io::Write;

use super::{headers, key, payload, plain, time};
use crate::batch::Batch;
use crate::sink::console::json::{Json, Token};

/// Adds one event, without a newline after it.
///
/// A field inside another is named by the way to it, `a.b.0`. A payload that is no object or list is `payload=…`.
pub(super) fn event(text: &mut Vec<u8>, batch: &Batch, row: usize) {
    text.extend_from_slice(b"time=");
    time(text, batch.timestamps()[row]);
    pair(text, b"partition", batch.origin().partition_of(row).as_str().as_bytes());
    // A vector takes everything.
    write!(text, " position={}", batch.origin().positions()[row]).ok();
    if let Some(key) = key(batch, row) {
        pair(text, b"key", key);
    }
    for (header, value) in headers(batch, row) {
        pair(text, header, value.unwrap_or_default());
    }
    match payload(batch, row).map(|bytes| (bytes, Json::new(bytes))) {
        None => text.extend_from_slice(b" tombstone=true"),
        Some((_, Some(json))) => fields(text, json),
        Some((bytes, None)) => pair(text, b"payload", bytes),
    }
}

/// A step on the way to a field: how long the name was before it, and in a list the index that comes next.
struct Step {
    before: usize,
    index: Option<u32>,
}

fn fields(text: &mut Vec<u8>, json: Json) {
    let (mut way, mut steps, mut tokens) = (Vec::new(), Vec::<Step>::new(), json.tokens().peekable());
    while let Some(token) = tokens.next() {
        let follows = tokens.peek().copied();
        if let Token::Text(name) = token
            && follows == Some(Token::Mark(b':'))
        {
            dot(&mut way);
            bare_name(&mut way, name.trim_matches('"').as_bytes());
            tokens.next();
            continue;
        }
        if let Some(Step { index: Some(index), .. }) = steps.last_mut()
            && !matches!(token, Token::Mark(b']' | b','))
        {
            dot(&mut way);
            // A vector takes everything.
            write!(way, "{index}").ok();
            *index += 1;
        }
        match token {
            Token::Mark(open @ (b'{' | b'[')) => {
                if let Some(Token::Mark(close @ (b'}' | b']'))) = follows {
                    value(text, &way, &[open, close]);
                }
                steps.push(Step { before: way.len(), index: (open == b'[').then_some(0) });
                continue;
            }
            Token::Mark(b'}' | b']') => {
                steps.pop();
            }
            Token::Mark(_) => continue,
            Token::Text(string) => match string.get(1..string.len() - 1).filter(|inner| is_bare(inner.as_bytes())) {
                Some(inner) => value(text, &way, inner.as_bytes()),
                None => value(text, &way, string.as_bytes()),
            },
            Token::Bare(bare) => value(text, &way, bare.as_bytes()),
        }
        way.truncate(steps.last().map_or(0, |step| step.before));
    }
}

fn dot(way: &mut Vec<u8>) {
    if !way.is_empty() {
        way.push(b'.');
    }
}

/// A value that is in the form in which it is to stand.
fn value(text: &mut Vec<u8>, way: &[u8], value: &[u8]) {
    text.push(b' ');
    text.extend_from_slice(if way.is_empty() { b"payload" } else { way });
    text.push(b'=');
    plain(text, value);
}

fn pair(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.push(b' ');
    bare_name(text, name);
    text.push(b'=');
    if is_bare(value) {
        plain(text, value);
    } else {
        let quoted = serde_json::Value::from(String::from_utf8_lossy(value)).to_string();
        plain(text, quoted.as_bytes());
    }
}

/// Whether a value needs no quotes.
fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && !value.iter().any(|byte| *byte <= b' ' || matches!(byte, b'"' | b'=' | b'\\' | 0x7f))
}

/// A name, in which what separates pairs is an underscore.
fn bare_name(text: &mut Vec<u8>, name: &[u8]) {
    let start = text.len();
    plain(text, name);
    for byte in &mut text[start..] {
        if *byte <= b' ' || matches!(*byte, b'"' | b'=') {
            *byte = b'_';
        }
    }
}
