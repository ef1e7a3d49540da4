//! Reads settings from a tree: a serde deserializer over nodes, and all errors of a struct at once.
//!
//! Settings are plain structs with `#[derive(Deserialize)]` and `deny_unknown_fields`, in the room that they are for.

mod collect;
mod error;
mod fields;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor, value,
};
use serde::forward_to_deserialize_any;

pub(super) use collect::{Subject, missing, read};
use error::Error;
pub(super) use fields::fields_of;

use crate::config::document::{Entry, Node, Table, Value};

/// A node that is read.
#[derive(Clone, Copy)]
struct De<'a>(&'a Node);

/// Reads text as a number where a number is asked for.
macro_rules! numbers {
    ($($method:ident $type:ty => $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self.0.value {
                // TOML has no larger numbers, and what was read can be written again.
                Value::Loose(text) => match text.trim().parse::<$type>() {
                    Ok(number) if number as i128 <= i64::MAX as i128 => visitor.$visit(number),
                    _ => Err(Error::invalid_type(Unexpected::Str(text), &visitor)),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Text(text) | Value::Loose(text) => visitor.visit_str(text),
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(bool) => visitor.visit_bool(*bool),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(Entries::new(table)),
            Value::Unknown => visitor.visit_unit(),
        }
    }

    numbers! {
        deserialize_i8 i64 => visit_i64
        deserialize_i16 i64 => visit_i64
        deserialize_i32 i64 => visit_i64
        deserialize_i64 i64 => visit_i64
        deserialize_u8 u64 => visit_u64
        deserialize_u16 u64 => visit_u64
        deserialize_u32 u64 => visit_u64
        deserialize_u64 u64 => visit_u64
        deserialize_f32 f64 => visit_f64
        deserialize_f64 f64 => visit_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Loose(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
                "false" | "no" | "off" | "0" => visitor.visit_bool(false),
                _ => Err(Error::invalid_type(Unexpected::Str(text), &visitor)),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Loose(text) => visitor.visit_seq(Words { words: text.split(',').enumerate(), of: self.0 }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Text(text) | Value::Loose(text) => {
                let variant: value::StrDeserializer<Error> = text.trim().into_deserializer();
                visitor.visit_enum(variant)
            }
            // `false` is a word like any other.
            Value::Bool(bool) => {
                let variant: value::StrDeserializer<Error> = if *bool { "true" } else { "false" }.into_deserializer();
                visitor.visit_enum(variant)
            }
            Value::Table(table) => visitor.visit_enum(value::MapAccessDeserializer::new(Entries::new(table))),
            _ => Err(Error::not_one_of(self.0.describe(), variants)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct map struct identifier
    }
}

/// The values of a table. What is unknown is passed over.
struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'a> Entries<'a> {
    fn new(table: &'a Table) -> Entries<'a> {
        Entries { entries: table.entries().iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.entries.find(|entry| !matches!(entry.node.value, Value::Unknown));
        let Some(entry) = self.current else { return Ok(None) };
        let key: value::StrDeserializer<Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.about_key().under_key(&entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.current else { return Err(Error::custom("a value was asked for before its key")) };
        seed.deserialize(De(&entry.node)).map_err(|error| error.under_key(&entry.key))
    }
}

/// The items of a list. What is unknown is passed over.
struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.items.find(|(_, item)| !matches!(item.value, Value::Unknown)) {
            Some((index, item)) => seed.deserialize(De(item)).map(Some).map_err(|error| error.under_index(index)),
            None => Ok(None),
        }
    }
}

/// A list in plain text, separated by commas. No text is no item.
struct Words<'a> {
    words: std::iter::Enumerate<std::str::Split<'a, char>>,
    of: &'a Node,
}

impl<'de> SeqAccess<'de> for Words<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, word)) = self.words.find(|(_, word)| !word.trim().is_empty()) else { return Ok(None) };
        let word = Node::new(Value::Loose(word.trim().to_owned()), self.of.place.of(word.trim()));
        seed.deserialize(De(&word)).map(Some).map_err(|error| error.under_index(index))
    }
}
