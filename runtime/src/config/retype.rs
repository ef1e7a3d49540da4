//! Gives text the types that a component's own JSON Schema names.
//!
//! Text from INI, from a reference or from the command line does not say whether it is a number. The schema does, and
//! is known only once the component is loaded.

use serde_json::Value as Json;

use crate::config::document::{Node, Value};
use crate::config::plan::Plan;

/// How far references inside a schema are followed: one may lead to itself.
const DEPTH: usize = 32;

impl Plan {
    /// The `config` of a sink as JSON, in which text that does not say its type has the one that `schema` names. None
    /// where the sink has no `config`. What does not fit the schema is left as it is, for the schema to refuse.
    pub fn config_of(&self, pipeline: &str, sink: &str, schema: Option<&Json>) -> Option<Json> {
        Some(retyped(self.sink_table(pipeline, sink)?.get("config")?, schema))
    }

    /// The same of its encoder.
    pub fn encoder_config_of(&self, pipeline: &str, sink: &str, schema: Option<&Json>) -> Option<Json> {
        let encoder = self.sink_table(pipeline, sink)?.get("encoder")?.as_table()?;
        Some(retyped(encoder.get("config")?, schema))
    }
}

fn retyped(node: &Node, schema: Option<&Json>) -> Json {
    let none = Json::Null;
    let root = schema.unwrap_or(&none);
    Retype { root }.node(node, root)
}

struct Retype<'a> {
    root: &'a Json,
}

impl<'a> Retype<'a> {
    fn node(&self, node: &Node, schema: &'a Json) -> Json {
        match &node.value {
            Value::Text(text) => Json::from(text.as_str()),
            Value::Loose(text) => self.text(text, schema, true),
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Bool(bool) => Json::from(*bool),
            Value::List(items) => {
                let inner = self.resolve(schema).iter().find_map(|schema| schema.get("items")).unwrap_or(&Json::Null);
                items.iter().map(|item| self.node(item, inner)).collect()
            }
            Value::Table(table) => {
                let schemas = self.resolve(schema);
                let entries = table.entries().iter().map(|entry| {
                    let inner = schemas.iter().find_map(|schema| {
                        schema
                            .get("properties")
                            .and_then(|all| all.get(&entry.key))
                            .or(schema.get("additionalProperties"))
                    });
                    (entry.key.clone(), self.node(&entry.node, inner.unwrap_or(&Json::Null)))
                });
                Json::Object(entries.collect())
            }
            Value::Unknown => Json::Null,
        }
    }

    /// Text as the first type of the schema that it can be read as; where text itself is accepted, text. Only a whole
    /// value can be a list: its items are not lists again.
    fn text(&self, text: &str, schema: &'a Json, whole: bool) -> Json {
        let schemas = self.resolve(schema);
        let types: Vec<&str> = schemas.iter().flat_map(|schema| types(schema)).collect();
        if !types.contains(&"string") {
            let word = text.trim();
            for expected in types {
                let read = match expected {
                    "integer" => word.parse::<i64>().ok().map(Json::from),
                    "number" => number(word),
                    "boolean" => boolean(word),
                    "array" if whole => Some(self.list(word, &schemas)),
                    "null" if word.is_empty() => Some(Json::Null),
                    _ => None,
                };
                if let Some(read) = read {
                    return read;
                }
            }
        }
        Json::from(text)
    }

    fn list(&self, text: &str, schemas: &[&'a Json]) -> Json {
        let inner = schemas.iter().find_map(|schema| schema.get("items")).unwrap_or(&Json::Null);
        text.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| self.text(word, inner, false))
            .collect()
    }

    /// The schema and all that it leads to by `$ref`, `anyOf`, `oneOf` and `allOf`.
    fn resolve(&self, schema: &'a Json) -> Vec<&'a Json> {
        let mut found = vec![schema];
        let mut at = 0;
        while at < found.len() && found.len() < DEPTH {
            let schema = found[at];
            let target = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
            found.extend(target.and_then(|pointer| self.root.pointer(pointer)));
            for key in ["anyOf", "oneOf", "allOf"] {
                found.extend(schema.get(key).and_then(Json::as_array).into_iter().flatten());
            }
            at += 1;
        }
        found
    }
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        // Words are text, though the schema need not say so.
        _ if schema.get("enum").or(schema.get("const")).is_some_and(|words| words.to_string().contains('"')) => {
            vec!["string"]
        }
        _ => Vec::new(),
    }
}

fn number(word: &str) -> Option<Json> {
    if let Ok(whole) = word.parse::<i64>() {
        return Some(Json::from(whole));
    }
    word.parse::<f64>().ok().filter(|number| number.is_finite()).map(Json::from)
}

fn boolean(word: &str) -> Option<Json> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(Json::from(true)),
        "false" | "no" | "off" | "0" => Some(Json::from(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::place::{Place, Text};

    fn retype(text: &str, schema: Json) -> Json {
        let node = Node::new(Value::Loose(text.into()), Place::new(&Text::new("a.conf", text.into()), 0..text.len()));
        Retype { root: &schema }.node(&node, &schema)
    }

    #[test]
    fn text_has_the_first_type_that_it_can_be_read_as() {
        for (text, schema, expected) in [
            ("5", json!({"type": "integer"}), json!(5)),
            ("5", json!({"type": "number"}), json!(5)),
            ("0.5", json!({"type": ["null", "integer", "number"]}), json!(0.5)),
            ("5", json!({"type": ["integer", "string"]}), json!("5")),
            ("5", json!({"enum": ["5"], "type": "string"}), json!("5")),
            ("5", json!({"enum": ["5"]}), json!("5")),
            ("", json!({"type": ["integer", "null"]}), json!(null)),
            ("off", json!({"type": "boolean"}), json!(false)),
            ("1, 2,", json!({"type": "array", "items": {"type": "integer"}}), json!([1, 2])),
            ("soon", json!({"type": "integer"}), json!("soon")),
            ("NaN", json!({"type": "number"}), json!("NaN")),
            ("5", json!(true), json!("5")),
        ] {
            assert_eq!(retype(text, schema.clone()), expected, "{text} as {schema}");
        }
    }

    #[test]
    fn a_schema_that_leads_to_itself_comes_to_an_end() {
        assert_eq!(retype("a", json!({"$ref": "#"})), json!("a"));
        assert_eq!(retype("a,b", json!({"type": "array", "items": {"$ref": "#"}})), json!(["a", "b"]));
        assert_eq!(retype("1", json!({"anyOf": [{"$ref": "#"}, {"type": "integer"}]})), json!(1));
    }
}
