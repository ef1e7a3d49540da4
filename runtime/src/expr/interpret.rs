//! The interpreter: what is left of a condition when the common shapes are taken out of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt, DYN_TYPE, Type,
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
        let value = self.read_shared(read_of_name(variable)?).ok()?;
        Some(CowVal::Owned(boxed(value, 0)))
    }
}

/// The interpreter's form of a value. Lists and maps are read whole; of repeated names, the first. Only texts with
/// escapes are copied.
fn boxed<'b>(value: Value<'b>, depth: usize) -> Box<dyn Val + 'b> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(bool)),
        Value::Int(int) => Box::new(CelInt::from(int)),
        Value::UInt(uint) => Box::new(CelUInt::from(uint)),
        Value::Double(double) => Box::new(CelDouble::from(double)),
        Value::Text(text) => Box::new(CelString::from(text)),
        Value::Time(time) => Box::new(CelTimestamp::from(time.fixed_offset())),
        Value::List(_) | Value::Map(_) if depth >= MAX_DEPTH => Box::new(Broken),
        Value::List(json) => {
            let items: Result<Vec<_>, Unreadable> =
                json::elements(json).map(|item| Ok(part(Value::from_json(item?), depth))).collect();
            items.map_or_else(|_| broken(), |items| Box::new(CelList::from(items)))
        }
        Value::Map(json) => map(
            json::members(json).map(|member| {
                let (name, value) = member?;
                Ok((CelString::from(name), Value::from_json(value)))
            }),
            depth,
        ),
        Value::Headers(headers, event) => map(
            headers.of(event).map(|(name, value)| {
                let name = std::str::from_utf8(name).map_err(|_| Unreadable)?;
                Ok((CelString::from(name), text_or_null(value)))
            }),
            depth,
        ),
    }
}

type Member<'b> = (CelString<'b>, Result<Value<'b>, Unreadable>);

fn map<'b>(members: impl Iterator<Item = Result<Member<'b>, Unreadable>>, depth: usize) -> Box<dyn Val + 'b> {
    let mut map: HashMap<CelMapKey, Box<dyn Val + 'b>> = HashMap::new();
    for member in members {
        let Ok((name, value)) = member else { return broken() };
        if let Entry::Vacant(entry) = map.entry(CelMapKey::String(name)) {
            entry.insert(part(value, depth));
        }
    }
    Box::new(CelMap::from(map))
}

fn part<'b>(value: Result<Value<'b>, Unreadable>, depth: usize) -> Box<dyn Val + 'b> {
    value.map_or_else(|_| broken(), |value| boxed(value, depth + 1))
}

fn broken<'b>() -> Box<dyn Val + 'b> {
    Box::new(Broken)
}

/// A part of an event that is there but can't be read, as malformed JSON can't. It equals nothing, and any use of it
/// fails; what stands beside it does not.
#[derive(Debug)]
struct Broken;

impl Val for Broken {
    fn get_type(&self) -> &Type {
        &DYN_TYPE
    }

    fn cel_type() -> &'static Type {
        &DYN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        broken()
    }
}
