//! Configurations against the JSON Schema that a component gives.

use std::cell::Cell;
use std::fmt;

use jsonschema::Validator;
use serde_json::{Map, Number, Value};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer into the configuration; empty for all of it.
    pub place: String,
    /// What, without the value itself: it may be a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let place = self.place.trim_start_matches('/').replace('/', ".");
        if place.is_empty() { f.write_str(&self.message) } else { write!(f, "`{place}`: {}", self.message) }
    }
}

/// Whether a value is a schema that can be checked against, without fetching anything.
pub(super) fn is_schema(schema: &Value) -> Result<(), String> {
    validator(schema).map(|_| ())
}

fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| error.to_string())
}

/// Every problem that a configuration has.
pub(super) fn check(schema: Option<&Value>, config: &Value) -> Result<(), Vec<Problem>> {
    if !config.is_object() {
        return Err(vec![Problem { place: String::new(), message: "a configuration is a table".to_owned() }]);
    }
    let Some(schema) = schema else { return Ok(()) };
    let problem = |place: String, message: String| Problem { place, message };
    let validator = validator(schema).map_err(|error| vec![problem(String::new(), error)])?;
    let problems: Vec<Problem> = validator
        .iter_errors(config)
        .map(|error| problem(error.instance_path().to_string(), error.masked_with("the value").to_string()))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A configuration in which text stands for numbers and truth values gets the types of the schema. Text that can't be
/// read as what the schema wants stays as it is, for [`check`] to report.
pub(super) fn typed(schema: Option<&Value>, config: &Value) -> Value {
    match schema {
        Some(schema) => Types { root: schema, steps: Cell::new(MAX_STEPS) }.give(schema, config, MAX_DEPTH),
        None => config.clone(),
    }
}

/// A schema can refer to itself in ways that never end.
const MAX_STEPS: usize = 10_000;
const MAX_DEPTH: usize = 32;

/// Finds the types that a schema names, as far as bounded work finds them.
struct Types<'a> {
    root: &'a Value,
    steps: Cell<usize>,
}

impl<'a> Types<'a> {
    /// One level deeper, while there is work left.
    fn deeper(&self, depth: usize) -> Option<usize> {
        let left = self.steps.get().checked_sub(1)?;
        self.steps.set(left);
        depth.checked_sub(1)
    }

    fn give(&self, schema: &'a Value, value: &Value, depth: usize) -> Value {
        let Some(depth) = self.deeper(depth) else { return value.clone() };
        let schema = self.resolved(schema);
        match value {
            Value::String(text) => self.read_text(schema, text, depth),
            Value::Object(fields) => {
                let typed = |(name, value): (&String, &Value)| {
                    let property = self.property(schema, name, depth);
                    (name.clone(), property.map_or_else(|| value.clone(), |schema| self.give(schema, value, depth)))
                };
                Value::Object(fields.iter().map(typed).collect::<Map<_, _>>())
            }
            Value::Array(items) => match schema.get("items") {
                Some(schema) => items.iter().map(|item| self.give(schema, item, depth)).collect(),
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    /// The schema of one field, where the schema has one.
    fn property(&self, schema: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
        let depth = self.deeper(depth)?;
        let own = schema.get("properties").and_then(|properties| properties.get(name));
        let other = || schema.get("additionalProperties").filter(|schema| schema.is_object());
        own.or_else(|| self.parts(schema).find_map(|part| self.property(part, name, depth))).or_else(other)
    }

    /// The schemas of which this one is made up.
    fn parts(&self, schema: &'a Value) -> impl Iterator<Item = &'a Value> {
        let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
        lists.flatten().map(|part| self.resolved(part))
    }

    /// Follows a reference within the schema, a few steps.
    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..8 {
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
            match target.and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn read_text(&self, schema: &'a Value, text: &str, depth: usize) -> Value {
        let types = self.types(schema, depth);
        if types.contains(&"string") || types.is_empty() {
            return text.into();
        }
        let text = text.trim();
        let parsed = types.iter().find_map(|name| match *name {
            "integer" => text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok(),
            "number" => number(text),
            "boolean" => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true.into()),
                "false" | "no" | "off" => Some(false.into()),
                _ => None,
            },
            "null" => text.is_empty().then_some(Value::Null),
            "array" => self.list(schema, text, depth),
            "object" => serde_json::from_str(text).ok().filter(Value::is_object),
            _ => None,
        });
        parsed.unwrap_or_else(|| text.into())
    }

    /// JSON, or items with commas between them.
    fn list(&self, schema: &'a Value, text: &str, depth: usize) -> Option<Value> {
        if text.starts_with('[') {
            return serde_json::from_str(text).ok();
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
        Some(self.give(schema, &Value::Array(items), depth))
    }

    /// The types that a schema permits, as far as it names them.
    fn types(&self, schema: &'a Value, depth: usize) -> Vec<&'a str> {
        let Some(depth) = self.deeper(depth) else { return Vec::new() };
        match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => self.parts(schema).flat_map(|part| self.types(part, depth)).collect(),
        }
    }
}

fn number(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["table"],
            "additionalProperties": false,
            "properties": {
                "table": { "type": "string" },
                "batch": { "type": "integer", "minimum": 1 },
                "ratio": { "$ref": "#/$defs/ratio" },
                "dry": { "type": ["boolean", "null"] },
                "ports": { "type": "array", "items": { "type": "integer" } },
                "mode": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
                "inner": { "type": "object", "properties": { "n": { "type": "integer" } } }
            },
            "$defs": { "ratio": { "type": "number" } }
        })
    }

    #[test]
    fn every_problem_is_reported_without_the_values() {
        let problems =
            check(Some(&schema()), &json!({ "batch": 0, "tabel": "hunter2", "ratio": "hunter3" })).unwrap_err();
        let text: Vec<String> = problems.iter().map(Problem::to_string).collect();
        let text = text.join("\n");
        for part in ["`batch`", "`ratio`", "tabel", "table"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("hunter"), "{text}");
        assert_eq!(check(Some(&schema()), &json!({ "table": "t" })), Ok(()));
        assert!(check(None, &json!([])).is_err());
    }

    #[test]
    fn text_gets_the_types_of_the_schema() {
        let text = json!({
            "table": "5", "batch": "10", "ratio": "0.5", "dry": "yes", "ports": "1, 2", "mode": "7", "inner": { "n": "3" }
        });
        let expected = json!({
            "table": "5", "batch": 10, "ratio": 0.5, "dry": true, "ports": [1, 2], "mode": 7, "inner": { "n": 3 }
        });
        assert_eq!(typed(Some(&schema()), &text), expected);
    }

    #[test]
    fn text_that_does_not_fit_stays() {
        let text = json!({ "batch": "ten", "dry": "perhaps", "other": "1" });
        assert_eq!(typed(Some(&schema()), &text), text);
        assert_eq!(typed(None, &text), text);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "$ref": "#" });
        assert_eq!(typed(Some(&schema), &json!({ "a": "1" })), json!({ "a": "1" }));
        let schema = json!({ "type": "array", "items": { "$ref": "#" } });
        assert!(typed(Some(&schema), &json!("1")).is_array());
        let schema = json!({ "anyOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "anyOf": [{ "$ref": "#" }] } } });
        assert_eq!(typed(Some(&schema), &json!({ "a": "1" })), json!({ "a": "1" }));
    }
}
