//! `encoder = { type = "csv" }`: one record of RFC 4180 for each event, without a line break after it.

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::Texts;
use super::{Contract, Encode, Encoded, Encoder};
use crate::batch::Batch;
use crate::expr::{Missing, Template};
use crate::sink::{Failure, WriteError};

/// What may be set about it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where each column comes from.
    pub columns: Columns,
    /// What stands between two columns: one ASCII character that is no quote and no line break.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// What becomes of an event that lacks a column.
    #[serde(default)]
    pub missing: WhenMissing,
}

/// At least one column: a field of the payload, such as `/properties/mag`, or a template such as `{key}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Columns(Vec<Column>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    written: String,
    template: Template,
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Column, String> {
        let template = if text.starts_with('/') { format!("{{event:{text}}}") } else { text.to_owned() };
        let template = Template::parse(&template).map_err(|error| error.to_string())?;
        if template.is_constant() {
            return Err(format!(
                "`{text}` is the same for every event: write a field such as `/id`, or a template such as `{{key}}`"
            ));
        }
        Ok(Column { written: text.to_owned(), template })
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Column, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Columns, D::Error> {
        let columns = Vec::<Column>::deserialize(deserializer)?;
        if columns.is_empty() {
            return Err(D::Error::custom("there is no column: write a list such as `[\"/id\", \"/mag\"]`"));
        }
        Ok(Columns(columns))
    }
}

/// What stands between two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Default for Delimiter {
    fn default() -> Delimiter {
        Delimiter(b',')
    }
}

impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(self.0.into())
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Delimiter, D::Error> {
        match String::deserialize(deserializer)?.as_bytes() {
            [delimiter] if delimiter.is_ascii() && !b"\"\r\n".contains(delimiter) => Ok(Delimiter(*delimiter)),
            _ => Err(D::Error::custom("it is one ASCII character, no quote and no line break: such as `;` or `\\t`")),
        }
    }
}

/// What becomes of an event that lacks a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissing {
    /// It is refused (`missing`).
    #[default]
    Reject,
    /// The column is empty.
    Empty,
}

/// Makes one value of each event.
#[derive(Clone, Debug)]
pub struct Csv {
    columns: Arc<[Template]>,
    delimiter: char,
    missing: WhenMissing,
    quoting: csv_core::Writer,
    contract: Contract,
}

impl Csv {
    /// As it is configured.
    pub fn new(settings: &Settings) -> Csv {
        let Settings { columns, delimiter: Delimiter(delimiter), missing } = settings;
        let columns = columns.0.iter().map(|column| column.template.clone()).collect();
        let quoting = csv_core::WriterBuilder::new().delimiter(*delimiter).build();
        Csv {
            columns,
            delimiter: (*delimiter).into(),
            missing: *missing,
            quoting,
            contract: Contract::of_type("text/csv"),
        }
    }

    fn record(&self, text: &mut String, field: &mut String, events: &Batch, row: usize) -> Result<(), Missing> {
        for (number, column) in self.columns.iter().enumerate() {
            if number > 0 {
                text.push(self.delimiter);
            }
            field.clear();
            match column.render(events, row, field) {
                Err(_) if self.missing == WhenMissing::Empty => field.clear(),
                rendered => rendered?,
            }
            // A record that is one empty field would be no record.
            if self.quoting.should_quote(field.as_bytes()) || (field.is_empty() && self.columns.len() == 1) {
                quoted(text, field);
            } else {
                text.push_str(field);
            }
        }
        Ok(())
    }
}

fn quoted(text: &mut String, field: &str) {
    let mut separator = "\"";
    for part in field.split('"') {
        text.push_str(separator);
        text.push_str(part);
        separator = "\"\"";
    }
    text.push('"');
}

#[async_trait]
impl Encoder for Csv {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Encode for Csv {
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let (mut texts, mut field) = (Texts::new(events.len()), String::new());
        for row in 0..events.len() {
            texts.push(row, |text| {
                self.record(text, &mut field, events, row).map_err(|missing| ("missing", missing.to_string()))
            });
        }
        texts.finish(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::encode::tests::{encode, events, payloads};

    fn settings(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    fn csv(text: &str) -> Csv {
        Csv::new(&settings(text).unwrap())
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let events =
            events(&[r#"{"id":"a","mag":4.50}"#, r#"{"id":"a,\"b\"","mag":-1}"#, r#"{"id":"x\ny","mag":true}"#]);
        let (values, refused) = encode(&csv("columns = ['/id', '/mag', '{key}']"), &events);
        assert_eq!(payloads(&values), ["a,4.50,k0", "\"a,\"\"b\"\"\",-1,k1", "\"x\ny\",true,k2"]);
        assert!(refused.is_empty());
        let (values, _) = encode(&csv("columns = ['/id', '/mag']\ndelimiter = \"\\t\""), &events);
        assert_eq!(payloads(&values)[..2], ["a\t4.50", "\"a,\"\"b\"\"\"\t-1"]);
    }

    #[test]
    fn what_another_reader_makes_of_it_is_what_it_was() {
        let texts = ["", "plain", "a,b", "\"", "\"\"", "two\r\nlines", "ü", " space "];
        for text in texts {
            let event = serde_json::json!({ "a": text, "b": "end" }).to_string();
            for columns in ["columns = ['/a', '/b']", "columns = ['/a']"] {
                let (values, _) = encode(&csv(columns), &events(&[&event]));
                let record = payloads(&values).remove(0) + "\n";
                let (mut reader, mut read, mut ends) = (csv_core::Reader::new(), [0; 100], [0; 10]);
                let (result, _, _, fields) = reader.read_record(record.as_bytes(), &mut read, &mut ends);
                assert!(matches!(result, csv_core::ReadRecordResult::Record), "{record:?}");
                assert_eq!((fields, &read[..ends[0]]), (columns.matches('/').count(), text.as_bytes()), "{record:?}");
            }
        }
    }

    #[test]
    fn an_event_that_lacks_a_column_is_refused_or_has_it_empty() {
        let events = events(&[r#"{"id":1}"#, r#"{"id":2,"mag":null}"#, r#"{"id":3,"mag":3}"#, "no JSON"]);
        let (values, refused) = encode(&csv("columns = ['/id', '/mag']"), &events);
        assert_eq!(payloads(&values), ["3,3"]);
        let rows: Vec<u32> = refused.iter().flat_map(|refusal| refusal.rows.iter()).collect();
        assert_eq!(rows, [0, 1, 3]);
        assert_eq!(&*refused[0].failure.code, "missing");
        let (values, refused) = encode(&csv("columns = ['/id', '/mag']\nmissing = 'empty'"), &events);
        assert_eq!((payloads(&values), refused.len()), (vec!["1,".into(), "2,".into(), "3,3".into(), ",".into()], 0));
        let (values, _) = encode(&csv("columns = ['/mag']\nmissing = 'empty'"), &events);
        assert_eq!(payloads(&values), ["\"\"", "\"\"", "3", "\"\""]);
    }

    #[test]
    fn what_can_not_be_meant_is_an_error() {
        for text in [
            "columns = []",
            "columns = ['id']",
            "columns = ['{nothing}']",
            "columns = ['/a']\ndelimiter = ''",
            "columns = ['/a']\ndelimiter = ',,'",
            "columns = ['/a']\ndelimiter = '\"'",
            "columns = ['/a']\nheader = true",
        ] {
            assert!(settings(text).is_err(), "{text}");
        }
    }
}
