//! What a variable or a field of an event stands for, and how two of them compare.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::Hash;

use chrono::{DateTime, Utc};

use super::json::{self, Unreadable};
use crate::batch::Headers;

/// A value of an event. Lists and maps stay the JSON text that they are written in.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Time(DateTime<Utc>),
    List(&'a [u8]),
    Map(&'a [u8]),
    /// The headers of one event of a batch.
    Headers(&'a Headers, usize),
}

impl<'a> Value<'a> {
    /// From the text of one JSON value. Scalars are read whole, lists and maps are left as they are.
    pub(super) fn from_json(json: &'a [u8]) -> Result<Value<'a>, Unreadable> {
        match json {
            [b'"', ..] => json::text(json).map(Value::Text),
            [b'{', ..] => Ok(Value::Map(json)),
            [b'[', ..] => Ok(Value::List(json)),
            b"true" => Ok(Value::Bool(true)),
            b"false" => Ok(Value::Bool(false)),
            b"null" => Ok(Value::Null),
            _ => number(json),
        }
    }

    /// How many characters a text has, or how many items a list, or how many names a map. `None` for anything else, and
    /// where the items can't be read.
    pub(super) fn size(&self) -> Option<i64> {
        let size = match self {
            Value::Text(text) => text.chars().count(),
            Value::List(json) => json::elements(json).try_fold(0, |count, item| item.map(|_| count + 1)).ok()?,
            Value::Map(json) => distinct(json::members(json).map(|member| member.map(|(name, _)| name)))?,
            Value::Headers(headers, event) => {
                distinct(headers.of(*event).map(|(name, _)| std::str::from_utf8(name).map_err(|_| Unreadable)))?
            }
            _ => return None,
        };
        i64::try_from(size).ok()
    }

    /// Whether both are the same: numbers by what they count, whatever their type; values of other types are never
    /// equal. Lists and maps are for the interpreter.
    pub(super) fn equals(&self, other: &Value) -> bool {
        matches!((self, other), (Value::Null, Value::Null)) || self.compare(other) == Some(Ordering::Equal)
    }

    /// How this orders against `other`. `None` where the two do not compare.
    pub(super) fn compare(&self, other: &Value) -> Option<Ordering> {
        use Value::{Bool, Double, Int, Text, Time, UInt};
        match (self, other) {
            (Int(a), Int(b)) => Some(a.cmp(b)),
            (UInt(a), UInt(b)) => Some(a.cmp(b)),
            (Int(a), UInt(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (UInt(a), Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Double(a), Double(b)) => a.partial_cmp(b),
            // Through doubles, as the interpreter does it.
            (Double(a), Int(b)) => a.partial_cmp(&(*b as f64)),
            (Double(a), UInt(b)) => a.partial_cmp(&(*b as f64)),
            (Int(a), Double(b)) => (*a as f64).partial_cmp(b),
            (UInt(a), Double(b)) => (*a as f64).partial_cmp(b),
            (Bool(a), Bool(b)) => Some(a.cmp(b)),
            (Text(a), Text(b)) => Some(a.cmp(b)),
            (Time(a), Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

fn distinct<T: Eq + Hash>(names: impl Iterator<Item = Result<T, Unreadable>>) -> Option<usize> {
    names.collect::<Result<HashSet<T>, _>>().ok().map(|names| names.len())
}

/// Whole numbers are ints, beyond those uints; numbers with a point or an exponent, or larger still, are doubles.
fn number<'a>(json: &[u8]) -> Result<Value<'a>, Unreadable> {
    let text = std::str::from_utf8(json).map_err(|_| Unreadable)?;
    let whole = is_number(json).ok_or(Unreadable)?;
    if whole {
        if let Ok(int) = text.parse() {
            return Ok(Value::Int(int));
        }
        if let Ok(uint) = text.parse() {
            return Ok(Value::UInt(uint));
        }
    }
    let double: f64 = text.parse().map_err(|_| Unreadable)?;
    if double.is_finite() { Ok(Value::Double(double)) } else { Err(Unreadable) }
}

/// Whether the text is a number by JSON's grammar, and if so, whether one without a point or an exponent.
fn is_number(json: &[u8]) -> Option<bool> {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = json.strip_prefix(b"-").unwrap_or(json);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return None;
    }
    let mut rest = &rest[whole..];
    if rest.is_empty() {
        return Some(true);
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return None;
        }
        rest = &fraction[places..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let places = digits(exponent);
        if places == 0 {
            return None;
        }
        rest = &exponent[places..];
    }
    rest.is_empty().then_some(false)
}
