//! The interpreter: what is left of a condition when the common shapes are taken out of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::parser::Expression;
use cel::{Context, Env};

use super::json::{self, Unreadable};
use super::row::{Row, text_or_null};
use super::value::Value;

/// Lists and maps that are nested deeper than this can't be read.
const MAX_DEPTH: usize = 128;

/// The functions and macros of CEL's standard library; without the syntax of optional values.
pub(super) static LIBRARY: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// Whether an expression holds; `None` where it fails or is no boolean.
pub(super) fn holds(expression: &Expression, row: &Row) -> Option<bool> {
    let mut context = Context::with_env(LIBRARY.clone());
    context.set_variable_resolver(row);
    let value = cel::Value::resolve_val(expression, &context).ok()?;
    value.downcast_ref::<CelBool>().map(|bool| *bool.inner())
}

/// The name by which an expression that is bound to events speaks of a read.
pub(super) fn name_of_read(read: usize) -> String {
    format!("@{read}")
}

/// The read that a name speaks of.
pub(super) fn read_of_name(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

impl VariableResolver for Row<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value = self.read(read_of_name(variable)?).ok()?;
        boxed(value.clone(), 0).map(CowVal::Owned).ok()
    }
}

/// The interpreter's form of a value. Lists and maps are read whole; of repeated names, the first. Only texts with
/// escapes are copied.
fn boxed<'b>(value: Value<'b>, depth: usize) -> Result<Box<dyn Val + 'b>, Unreadable> {
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(bool)),
        Value::Int(int) => Box::new(CelInt::from(int)),
        Value::UInt(uint) => Box::new(CelUInt::from(uint)),
        Value::Double(double) => Box::new(CelDouble::from(double)),
        Value::Text(text) => Box::new(CelString::from(text)),
        Value::Time(time) => Box::new(CelTimestamp::from(time.fixed_offset())),
        Value::List(json) => list(json, depth)?,
        Value::Map(json) => map(json, depth)?,
        Value::Headers(headers, event) => {
            let mut map: HashMap<CelMapKey, Box<dyn Val + 'b>> = HashMap::new();
            for (name, value) in headers.of(event) {
                let name = std::str::from_utf8(name).map_err(|_| Unreadable)?;
                if let Entry::Vacant(entry) = map.entry(CelMapKey::from(name)) {
                    entry.insert(boxed(text_or_null(value)?, depth)?);
                }
            }
            Box::new(CelMap::from(map))
        }
    })
}

fn list(json: &[u8], depth: usize) -> Result<Box<dyn Val + '_>, Unreadable> {
    let depth = deeper(depth)?;
    let items: Vec<Box<dyn Val + '_>> =
        json::elements(json).map(|item| boxed(Value::from_json(item?)?, depth)).collect::<Result<_, _>>()?;
    Ok(Box::new(CelList::from(items)))
}

fn map(json: &[u8], depth: usize) -> Result<Box<dyn Val + '_>, Unreadable> {
    let depth = deeper(depth)?;
    let mut map: HashMap<CelMapKey, Box<dyn Val + '_>> = HashMap::new();
    for member in json::members(json) {
        let (name, value) = member?;
        if let Entry::Vacant(entry) = map.entry(CelMapKey::String(CelString::from(name))) {
            entry.insert(boxed(Value::from_json(value)?, depth)?);
        }
    }
    Ok(Box::new(CelMap::from(map)))
}

fn deeper(depth: usize) -> Result<usize, Unreadable> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Unreadable) }
}
