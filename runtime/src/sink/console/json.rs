//! JSON text, token by token: what is shown keeps its numbers, its order and its duplicates as they were written.

use std::str;

use serde::de::IgnoredAny;

/// JSON that is known to be valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(&'a str);

/// A piece of JSON, white space left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// One of `{ [ ] } : ,`.
    Mark(u8),
    /// A string, with its quotes and escapes.
    Text(&'a str),
    /// A number, `true`, `false` or `null`.
    Bare(&'a str),
}

impl<'a> Json<'a> {
    /// `None` where the bytes are no JSON.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Json<'a>> {
        let text = str::from_utf8(bytes).ok()?;
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(Json(text))
    }

    pub(super) fn tokens(self) -> Tokens<'a> {
        Tokens(self.0)
    }
}

/// The tokens that are left.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let first = *text.as_bytes().first()?;
        let len = match first {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            b'"' => string(text.as_bytes()),
            _ => text.find([' ', '\t', '\n', '\r', '}', ']', ':', ',']).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(len);
        self.0 = rest;
        Some(match first {
            b'"' => Token::Text(token),
            _ if len == 1 && !first.is_ascii_alphanumeric() => Token::Mark(first),
            _ => Token::Bare(token),
        })
    }
}

/// The length of the string with which the text begins.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(next) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_text_without_its_white_space() {
        let text = r#" { "a\"\\" : [ 1.50 , -2e3,"" ],"a":{} , "b": true}"#;
        let tokens: Vec<Token> = Json::new(text.as_bytes()).unwrap().tokens().collect();
        let joined: String = tokens
            .iter()
            .map(|token| match token {
                Token::Mark(mark) => char::from(*mark).to_string(),
                Token::Text(text) | Token::Bare(text) => text.to_string(),
            })
            .collect();
        assert_eq!(joined, r#"{"a\"\\":[1.50,-2e3,""],"a":{},"b":true}"#);
        assert_eq!(tokens[1], Token::Text(r#""a\"\\""#));
        assert_eq!(tokens[4], Token::Bare("1.50"));
    }

    #[test]
    fn a_digit_alone_is_no_mark() {
        assert_eq!(Json::new(b"7").unwrap().tokens().collect::<Vec<_>>(), [Token::Bare("7")]);
    }

    #[test]
    fn what_is_not_json_is_not_taken_for_it() {
        for bytes in [&b"{"[..], b"", b"text", b"{} {}", b"\"\xff\""] {
            assert!(Json::new(bytes).is_none(), "{bytes:?}");
        }
    }
}
