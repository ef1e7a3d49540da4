//! Configurations against the JSON Schema that a component gives.

use std::fmt;

use jsonschema::Validator;
use serde_json::Value;

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
}
