//! Reads single fields from the bytes of a JSON text, without parsing the rest of it.
//!
//! Nothing here recurses, and nothing allocates unless a name or a text has escapes: an event of a million opening
//! brackets must cost an error, not the stack. (The readers of `sonic-rs` recurse without a bound where they skip.)

use std::borrow::Cow;

/// One step down into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(Box<str>),
    Index(usize),
}

/// Why a field could not be read: the text is not JSON as far as it was read, or the way to the field is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The text of the value at `path`: of the first name where names repeat. What stands beside the way there is passed
/// over by its brackets and quotes, and not validated.
///
/// `None` when the last name of the path is missing from an object that is there.
pub(super) fn find<'a>(json: &'a [u8], path: &[Step]) -> Result<Option<&'a [u8]>, Unreadable> {
    let mut cursor = Cursor { bytes: json, at: 0 };
    for (index, step) in path.iter().enumerate() {
        let found = match step {
            Step::Name(name) => cursor.enter_member(name)?,
            Step::Index(index) => cursor.enter_element(*index)?,
        };
        match (found, step) {
            (true, _) => {}
            (false, Step::Name(_)) if index + 1 == path.len() => return Ok(None),
            (false, _) => return Err(Unreadable),
        }
    }
    cursor.value().map(Some)
}

/// The names and values of an object, in order, as they are written.
pub(super) fn members(json: &[u8]) -> impl Iterator<Item = Result<(Cow<'_, str>, &[u8]), Unreadable>> {
    let mut items = Items::new(json, b'{');
    std::iter::from_fn(move || {
        items.next(|cursor| {
            let name = text(cursor.name()?)?;
            Ok((name, cursor.value()?))
        })
    })
}

/// The values of an array, in order, as they are written.
pub(super) fn elements(json: &[u8]) -> impl Iterator<Item = Result<&[u8], Unreadable>> {
    let mut items = Items::new(json, b'[');
    std::iter::from_fn(move || items.next(Cursor::value))
}

/// What a JSON string stands for. Takes the string with its quotes; borrows unless there are escapes.
pub(super) fn text(quoted: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    if memchr::memchr(b'\\', quoted).is_some() {
        return serde_json::from_slice(quoted).map(Cow::Owned).map_err(|_| Unreadable);
    }
    let inner = quoted.get(1..quoted.len() - 1).ok_or(Unreadable)?;
    std::str::from_utf8(inner).map(Cow::Borrowed).map_err(|_| Unreadable)
}

/// A place in a JSON text.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space, still ahead.
    fn peek(&mut self) -> Result<u8, Unreadable> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Unreadable),
            }
        }
    }

    /// Passes over the next byte that is not white space.
    fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.peek()? != byte {
            return Err(Unreadable);
        }
        self.at += 1;
        Ok(())
    }

    /// Moves to the value of `name` in the object ahead; false at its end.
    fn enter_member(&mut self, name: &str) -> Result<bool, Unreadable> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return Ok(false);
        }
        loop {
            let quoted = self.name()?;
            if is_name(quoted, name) {
                return Ok(true);
            }
            self.value()?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return Ok(false),
                _ => return Err(Unreadable),
            }
        }
    }

    /// Moves to an element of the array ahead; false at its end.
    fn enter_element(&mut self, index: usize) -> Result<bool, Unreadable> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            return Ok(false);
        }
        for _ in 0..index {
            self.value()?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return Ok(false),
                _ => return Err(Unreadable),
            }
        }
        Ok(true)
    }

    /// Passes over a name and its colon; gives the name with its quotes.
    fn name(&mut self) -> Result<&'a [u8], Unreadable> {
        if self.peek()? != b'"' {
            return Err(Unreadable);
        }
        let start = self.at;
        self.string()?;
        let quoted = &self.bytes[start..self.at];
        self.expect(b':')?;
        Ok(quoted)
    }

    /// Passes over a value; gives its text.
    fn value(&mut self) -> Result<&'a [u8], Unreadable> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => self.container()?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.word(),
            _ => return Err(Unreadable),
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Passes over a string; its opening quote is the next byte.
    fn string(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).ok_or(Unreadable)?;
            let stop = find_stop(rest).ok_or(Unreadable)?;
            self.at += stop + 1;
            if rest[stop] == b'"' {
                return Ok(());
            }
            self.at += 1;
        }
    }

    /// Passes over an object or array, whose opening bracket is the next byte.
    fn container(&mut self) -> Result<(), Unreadable> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at).ok_or(Unreadable)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a number or a literal.
    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}

/// The first quote or backslash, eight bytes at a time: most strings are too short to be worth a call of `memchr`.
fn find_stop(bytes: &[u8]) -> Option<usize> {
    const SHORT: usize = 32;
    let (words, _) = bytes[..bytes.len().min(SHORT)].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let stops = zero_bytes(word ^ every_byte(b'"')) | zero_bytes(word ^ every_byte(b'\\'));
        if stops != 0 {
            return Some(index * 8 + stops.trailing_zeros() as usize / 8);
        }
    }
    let searched = words.len() * 8;
    memchr::memchr2(b'"', b'\\', &bytes[searched..]).map(|at| at + searched)
}

const fn every_byte(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each byte that is zero, up to the first; those above it may be wrong.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(every_byte(0x01)) & !word & every_byte(0x80)
}

/// Whether a quoted name stands for `name`.
fn is_name(quoted: &[u8], name: &str) -> bool {
    let inner = &quoted[1..quoted.len() - 1];
    if inner.contains(&b'\\') {
        return text(quoted).is_ok_and(|decoded| decoded == name);
    }
    inner == name.as_bytes()
}

/// What an object or array holds, item by item; ends at the first error.
struct Items<'a> {
    cursor: Cursor<'a>,
    open: u8,
    started: bool,
    ended: bool,
}

impl<'a> Items<'a> {
    fn new(json: &'a [u8], open: u8) -> Items<'a> {
        Items { cursor: Cursor { bytes: json, at: 0 }, open, started: false, ended: false }
    }

    fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Unreadable>,
    ) -> Option<Result<T, Unreadable>> {
        if self.ended {
            return None;
        }
        let item = self.advance().and_then(|more| more.then(|| read(&mut self.cursor)).transpose());
        self.ended = !matches!(item, Ok(Some(_)));
        item.transpose()
    }

    /// Moves to the next item; false at the end.
    fn advance(&mut self) -> Result<bool, Unreadable> {
        let close = if self.open == b'{' { b'}' } else { b']' };
        if self.started {
            return match self.cursor.peek()? {
                b',' => {
                    self.cursor.at += 1;
                    Ok(true)
                }
                byte if byte == close => Ok(false),
                _ => Err(Unreadable),
            };
        }
        self.started = true;
        self.cursor.expect(self.open)?;
        Ok(self.cursor.peek()? != close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_stop_is_found(bytes in prop::collection::vec(prop::sample::select(b"ab\"\\!]#[\x00\xff\x80\xa2".to_vec()), 0..64)) {
            prop_assert_eq!(find_stop(&bytes), bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')));
            let clean: Vec<u8> = bytes.iter().map(|byte| if matches!(byte, b'"' | b'\\') { b'x' } else { *byte }).collect();
            prop_assert_eq!(find_stop(&clean), None);
            prop_assert_eq!(find_stop(&[&clean[..], b"\""].concat()), Some(clean.len()));
        }
    }

    #[test]
    fn a_value_is_given_as_it_is_written() {
        let json = br#"{ "a" : { "b" : [ 1 , "x\"y" , {} ] } , "c" : -1.5e3 }"#;
        let path = |steps: &[&str]| -> Vec<Step> {
            let step = |step: &&str| step.parse().map_or_else(|_| Step::Name((*step).into()), Step::Index);
            steps.iter().map(step).collect()
        };
        let found =
            |steps: &[&str]| find(json, &path(steps)).map(|value| value.map(|json| std::str::from_utf8(json).unwrap()));
        assert_eq!(found(&["c"]), Ok(Some("-1.5e3")));
        assert_eq!(found(&["a", "b"]), Ok(Some(r#"[ 1 , "x\"y" , {} ]"#)));
        assert_eq!(found(&["a", "b", "1"]), Ok(Some(r#""x\"y""#)));
        assert_eq!(found(&["a", "b", "2", "z"]), Ok(None));
        assert_eq!(found(&["d"]), Ok(None));
        assert_eq!(found(&["d", "e"]), Err(Unreadable));
        assert_eq!(found(&["a", "b", "3"]), Err(Unreadable));
        assert_eq!(found(&["c", "d"]), Err(Unreadable));
    }
}
