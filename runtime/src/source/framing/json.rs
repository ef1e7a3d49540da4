//! JSON as RFC 8259 has it, checked and cut, not parsed.
//!
//! Nothing here recurses: a value of a million opening brackets costs a bit for each, and not the stack. Text is taken to
//! be UTF-8 already.

use std::ops::Range;

/// Where a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Malformed {
    /// The first byte that can't be there, or the length of the text where more is missing.
    pub(in crate::source) at: usize,
}

/// Checks values. It is kept for its memory.
#[derive(Debug, Default)]
pub(in crate::source) struct Checker {
    nesting: Nesting,
}

impl Checker {
    /// Where in a text its only value is, without the white space around it.
    pub(in crate::source) fn only_value(&mut self, text: &[u8]) -> Result<Range<usize>, Malformed> {
        let start = pass_over_space(text, 0);
        let end = self.value(text, start)?;
        match pass_over_space(text, end) {
            rest if rest == text.len() => Ok(start..end),
            rest => Err(Malformed { at: rest }),
        }
    }

    /// Where the elements of an array are, which is all of a text.
    pub(in crate::source) fn elements(
        &mut self,
        text: &[u8],
        mut element: impl FnMut(Range<usize>),
    ) -> Result<(), Malformed> {
        let mut at = pass_over_space(text, 0);
        at = pass_over_space(text, expect(text, at, b'[')?);
        if text.get(at) != Some(&b']') {
            loop {
                let end = self.value(text, at)?;
                element(at..end);
                at = pass_over_space(text, end);
                match text.get(at) {
                    Some(b',') => at = pass_over_space(text, at + 1),
                    Some(b']') => break,
                    _ => return Err(Malformed { at }),
                }
            }
        }
        match pass_over_space(text, at + 1) {
            rest if rest == text.len() => Ok(()),
            rest => Err(Malformed { at: rest }),
        }
    }

    /// Where the value ends that begins at `at`.
    fn value(&mut self, text: &[u8], mut at: usize) -> Result<usize, Malformed> {
        self.nesting.clear();
        loop {
            // A value begins here.
            at = match text.get(at) {
                Some(b'"') => string(text, at)?,
                Some(b'{') => {
                    at = pass_over_space(text, at + 1);
                    if text.get(at) != Some(&b'}') {
                        self.nesting.push(true);
                        at = name(text, at)?;
                        continue;
                    }
                    at + 1
                }
                Some(b'[') => {
                    at = pass_over_space(text, at + 1);
                    if text.get(at) != Some(&b']') {
                        self.nesting.push(false);
                        continue;
                    }
                    at + 1
                }
                Some(b't') => word(text, at, b"true")?,
                Some(b'f') => word(text, at, b"false")?,
                Some(b'n') => word(text, at, b"null")?,
                _ => number(text, at)?,
            };
            // A value has ended, and perhaps those around it.
            loop {
                let Some(in_object) = self.nesting.last() else { return Ok(at) };
                at = pass_over_space(text, at);
                match (text.get(at), in_object) {
                    (Some(b','), true) => {
                        at = name(text, pass_over_space(text, at + 1))?;
                        break;
                    }
                    (Some(b','), false) => {
                        at = pass_over_space(text, at + 1);
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        at += 1;
                        self.nesting.pop();
                    }
                    _ => return Err(Malformed { at }),
                }
            }
        }
    }
}

/// Which brackets are open: for each, whether it is an object's.
#[derive(Debug, Default)]
struct Nesting {
    /// The innermost 64.
    word: u64,
    depth: usize,
    /// Those around them.
    outer: Vec<u64>,
}

impl Nesting {
    fn clear(&mut self) {
        self.depth = 0;
        self.outer.clear();
    }

    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.word & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.word = if self.depth.is_multiple_of(64) { self.outer.pop().unwrap_or(0) } else { self.word >> 1 };
    }
}

fn pass_over_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Result<usize, Malformed> {
    if text.get(at) == Some(&byte) { Ok(at + 1) } else { Err(Malformed { at }) }
}

/// The name of a member and its colon. Returns where the value begins.
fn name(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = pass_over_space(text, string(text, at)?);
    Ok(pass_over_space(text, expect(text, at, b':')?))
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    match word.iter().enumerate().find(|(index, byte)| text.get(at + index) != Some(byte)) {
        None => Ok(at + word.len()),
        Some((index, _)) => Err(Malformed { at: at + index }),
    }
}

fn number(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut at = at + usize::from(text.get(at) == Some(&b'-'));
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(text, at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(text, at + 1 + usize::from(sign))?;
    }
    Ok(at)
}

/// At least one.
fn digits(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let count = text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count > 0 { Ok(at + count) } else { Err(Malformed { at }) }
}

fn string(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut at = expect(text, at, b'"')?;
    loop {
        at = next_special(text, at);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(text, at + 1)?,
            _ => return Err(Malformed { at }),
        }
    }
}

fn escape(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match text.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => {
            let hex = |at: &usize| text.get(*at).is_some_and(u8::is_ascii_hexdigit);
            match (at + 1..at + 5).find(|at| !hex(at)) {
                None => Ok(at + 5),
                Some(at) => Err(Malformed { at }),
            }
        }
        _ => Err(Malformed { at }),
    }
}

/// Where the next quote, backslash or control character is, eight bytes at a time.
fn next_special(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is zero; above the lowest of them perhaps of others too.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*bytes);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    fn only_value(text: &str) -> Option<&str> {
        Checker::default().only_value(text.as_bytes()).ok().map(|value| &text[value])
    }

    fn elements(text: &str) -> Option<Vec<&str>> {
        let mut elements = Vec::new();
        Checker::default().elements(text.as_bytes(), |element| elements.push(&text[element])).ok()?;
        Some(elements)
    }

    /// Texts that are JSON, nearly so, or not at all.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e9\\n\"",
            "\"é\u{7f}\"",
            "\"long enough for two words\"",
            "0",
            "-1.5e+3",
            "01",
            "1.",
            "true",
            "false",
            "null",
            "nul",
            " ",
            "\n",
            "\"\u{1}\"",
            "\"\\x\"",
            "{\"a\":",
            "[[",
        ]);
        let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<f64>().prop_filter_map("finite", |number| serde_json::to_string(&number).ok()),
            any::<String>().prop_filter_map("text", |text| serde_json::to_string(&text).ok()),
        ];
        let value = leaf.prop_recursive(5, 40, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , ")));
            let member = (any::<String>(), inner).prop_map(|(name, value)| format!("{} :{value}", Value::from(name)));
            prop_oneof![
                list,
                prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
            ]
        });
        prop_oneof![
            pieces,
            value.clone(),
            (value, any::<prop::sample::Index>()).prop_map(|(text, cut)| {
                let at = cut.index(text.len() + 1);
                text.char_indices().take_while(|(byte, _)| *byte < at).map(|(_, c)| c).collect()
            })
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_json_and_where_its_parts_are_is_what_a_parser_says(text in text()) {
            let parsed = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(only_value(&text), parsed.then(|| text.trim_matches([' ', '\n', '\r', '\t'])));
            let values = |texts: Vec<&str>| texts.into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            let array: Option<Vec<Value>> = serde_json::from_str(&text).ok();
            prop_assert_eq!(elements(&text).map(values), array);
        }
    }

    #[test]
    fn a_million_brackets_cost_no_stack() {
        let deep = 1 << 20;
        for [open, close] in [["[", "]"], ["{\"a\":", "}"]] {
            let text = format!("{}1{}", open.repeat(deep), close.repeat(deep));
            assert_eq!(only_value(&text).map(str::len), Some(text.len()));
            assert_eq!(only_value(&text[..text.len() - 1]), None);
            let wrong = format!("{}1{}", open.repeat(deep), "]}".repeat(deep));
            assert_eq!(only_value(&wrong), None);
        }
        let mixed = |times: usize| format!("{}{}", "[{\"a\":".repeat(times) + "1", "}]".repeat(times));
        assert_eq!([31, 32, 33, 64, 100].map(|times| only_value(&mixed(times)).is_some()), [true; 5]);
    }

    #[test]
    fn the_place_of_a_mistake_is_told() {
        for (text, at) in
            [("", 0), ("{\"a\":1", 6), ("[1,]", 3), ("{\"a\" 1}", 5), ("1 2", 2), ("\"a\nb\"", 2), ("nul", 3)]
        {
            assert_eq!(Checker::default().only_value(text.as_bytes()), Err(Malformed { at }), "{text}");
        }
        assert_eq!(Checker::default().elements(b"{}", |_| ()), Err(Malformed { at: 0 }));
    }
}
