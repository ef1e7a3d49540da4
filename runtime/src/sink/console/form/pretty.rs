//! For people: JSON over several lines, perhaps in colour.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::{headers, key, payload, plain};
use crate::batch::Batch;
use crate::sink::console::json::{Json, Token};

const NAME: Style = AnsiColor::Blue.on_default();
const TEXT: Style = AnsiColor::Green.on_default();
const BARE: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Adds one event, without a newline after it.
pub(super) fn event(text: &mut Vec<u8>, batch: &Batch, row: usize, colour: bool) {
    let mut page = Page { text, colour, depth: 0 };
    page.heading(batch, row);
    match payload(batch, row) {
        None => page.styled(DIM, |text| text.extend_from_slice(b"(tombstone)")),
        Some(payload) => match Json::new(payload) {
            Some(json) => page.json(json),
            None => plain(page.text, payload),
        },
    }
}

struct Page<'a> {
    text: &'a mut Vec<u8>,
    colour: bool,
    depth: usize,
}

impl Page<'_> {
    /// Key and headers, where there are any.
    fn heading(&mut self, batch: &Batch, row: usize) {
        let key = key(batch, row).map(|key| (&b"key"[..], Some(key)));
        let mut pairs = key.into_iter().chain(headers(batch, row)).peekable();
        if pairs.peek().is_none() {
            return;
        }
        self.styled(DIM, |text| {
            text.push(b'#');
            for (name, value) in pairs {
                text.push(b' ');
                plain(text, name);
                text.push(b'=');
                plain(text, value.unwrap_or(b"null"));
            }
        });
        self.text.push(b'\n');
    }

    fn json(&mut self, json: Json) {
        let mut tokens = json.tokens().peekable();
        while let Some(token) = tokens.next() {
            let next = tokens.peek().copied();
            match token {
                Token::Mark(mark @ (b'{' | b'[')) => {
                    self.text.push(mark);
                    self.depth += 1;
                    if !matches!(next, Some(Token::Mark(b'}' | b']'))) {
                        self.line();
                    }
                }
                Token::Mark(mark @ (b'}' | b']')) => {
                    self.depth -= 1;
                    if !matches!(self.text.last(), Some(b'{' | b'[')) {
                        self.line();
                    }
                    self.text.push(mark);
                }
                Token::Mark(b',') => {
                    self.text.push(b',');
                    self.line();
                }
                Token::Mark(mark) => self.text.extend_from_slice(&[mark, b' ']),
                Token::Text(name) if next == Some(Token::Mark(b':')) => self.styled(NAME, |text| string(text, name)),
                Token::Text(value) => self.styled(TEXT, |text| string(text, value)),
                Token::Bare(value) => self.styled(BARE, |text| text.extend_from_slice(value.as_bytes())),
            }
        }
    }

    fn line(&mut self) {
        self.text.push(b'\n');
        self.text.resize(self.text.len() + 2 * self.depth, b' ');
    }

    fn styled(&mut self, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.colour {
            return write(self.text);
        }
        // A vector takes everything.
        write!(self.text, "{style}").ok();
        write(self.text);
        write!(self.text, "{style:#}").ok();
    }
}

/// A JSON string has no control characters but the upper ones.
fn string(text: &mut Vec<u8>, string: &str) {
    plain(text, string.as_bytes());
}
