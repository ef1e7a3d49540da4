//! The names of a struct's fields, as serde knows them.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The names under which `T` reads its fields. None for what is not a struct.
pub(in crate::config) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Asking is all that is wanted: the answer is always an error.
    let _asked = T::deserialize(Probe(&mut fields)).is_ok();
    fields
}

/// Hears for which fields it is asked, and gives nothing.
struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only asked"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery;

    #[test]
    fn the_fields_of_a_struct_are_told_and_nothing_else_has_any() {
        assert_eq!(fields_of::<delivery::GateSettings>(), ["probe"]);
        assert!(fields_of::<delivery::Settings>().contains(&"batch_size"));
        assert!(fields_of::<String>().is_empty());
    }
}
