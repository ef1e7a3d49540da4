//! Holds the three ways to ask a condition to the same answers: the compiled shapes, the interpreter over the same
//! reads, and, where the payload is whole, the interpreter over an event that `serde_json` has parsed.

use std::collections::HashMap;

use cel::Context;
use cel::common::types::CelBool;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::bind::bind;
use super::compile::compile;
use super::interpret::{self, LIBRARY};
use super::row::Row;
use super::syntax::parse;
use super::tests::one;
use crate::batch::Batch;
use crate::batch::Event;

/// A condition in its three forms.
struct Ways {
    plain: cel::parser::Expression,
    bound: cel::parser::Expression,
    reads: Vec<super::row::Read>,
    plan: super::plan::Plan,
}

impl Ways {
    fn of(text: &str) -> Ways {
        let (plain, places) = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (bound, reads) = bind(plain.clone(), &places).unwrap_or_else(|error| panic!("{text}: {error}"));
        let plan = compile(bound.clone(), &places).unwrap_or_else(|error| panic!("{text}: {error}"));
        Ways { plain, bound, reads, plan }
    }

    fn compiled(&self, event: &str) -> Option<bool> {
        self.plan.holds(&mut Row::first(&batch(event), &self.reads))
    }

    fn interpreted(&self, event: &str) -> Option<bool> {
        interpret::holds(&self.bound, &Row::first(&batch(event), &self.reads))
    }

    fn parsed(&self, event: &Json) -> Option<bool> {
        let mut context = Context::with_env(LIBRARY.clone());
        context.add_variable_from_value("event", cel_value(event));
        let value = cel::Value::resolve_val(&self.plain, &context).ok()?;
        value.downcast_ref::<CelBool>().map(|bool| *bool.inner())
    }
}

fn batch(payload: &str) -> Batch {
    one(Event { payload: Some(payload.as_bytes()), ..Event::default() })
}

fn cel_value(json: &Json) -> cel::Value {
    match json {
        Json::Null => cel::Value::Null,
        Json::Bool(bool) => cel::Value::Bool(*bool),
        Json::Number(number) => number
            .as_i64()
            .map(cel::Value::Int)
            .or_else(|| number.as_u64().map(cel::Value::UInt))
            .or_else(|| number.as_f64().map(cel::Value::Float))
            .unwrap(),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(cel_value).collect::<Vec<_>>().into(),
        Json::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), cel_value(value))).collect::<HashMap<_, _>>().into()
        }
    }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-2..4_i64).prop_map(Json::from),
        prop_oneof![Just(i64::MAX as u64), Just(i64::MAX as u64 + 1), Just(u64::MAX)].prop_map(Json::from),
        prop_oneof![Just(1.0), Just(2.5), Just(-1.5), Just(1e300)].prop_map(Json::from),
        text().prop_map(Json::from),
    ]
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "ab", "ba", "b", "ä", "a\"b", "a\\b", "1"])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c d", "é"])
}

fn event() -> impl Strategy<Value = Json> {
    let value = scalar().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map(name().prop_map(String::from), inner, 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    });
    let whole = prop::collection::btree_map(name().prop_map(String::from), value.clone(), 0..4)
        .prop_map(|members| Json::Object(members.into_iter().collect()));
    prop_oneof![9 => whole, 1 => value]
}

fn field() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        4 => name().prop_map(|name| format!("[{name:?}]")),
        1 => (0..2).prop_map(|index| format!("[{index}]")),
        1 => Just(".a".to_owned()),
    ];
    prop::collection::vec(step, 1..3).prop_map(|steps| format!("event{}", steps.concat()))
}

fn constant() -> impl Strategy<Value = String> {
    scalar().prop_map(|json| match json {
        Json::Number(number) if number.is_u64() && number.as_i64().is_none() => format!("{number}u"),
        Json::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().unwrap()),
        other => other.to_string(),
    })
}

fn relation() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="])
}

fn shape() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec!["startsWith", "endsWith", "contains", "matches"]);
    let tested = text().prop_filter("a backslash alone is no pattern", |text| !text.contains('\\'));
    prop_oneof![
        4 => (field(), relation(), constant()).prop_map(|(field, is, constant)| format!("{field} {is} {constant}")),
        2 => (constant(), relation(), field()).prop_map(|(constant, is, field)| format!("{constant} {is} {field}")),
        1 => (field(), prop::collection::vec(constant(), 0..4))
            .prop_map(|(field, list)| format!("{field} in [{}]", list.join(", "))),
        1 => (field(), function, tested).prop_map(|(field, function, text)| format!("{field}.{function}({text:?})")),
        1 => (field(), relation(), 0..3).prop_map(|(field, is, size)| format!("size({field}) {is} {size}")),
        1 => field().prop_map(|field| format!("has({field}.a)")),
        1 => field(),
    ]
}

/// What the interpreter alone answers.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        (field(), field()).prop_map(|(one, other)| format!("{one} == {other}")),
        (field(), constant()).prop_map(|(list, constant)| format!("{list}.exists(x, x == {constant})")),
        (field(), constant()).prop_map(|(field, constant)| format!("{field} + 1 == {constant}")),
        (field(), field()).prop_map(|(name, map)| format!("{name} in {map}")),
        field().prop_map(|name| format!("event[{name}] == 1")),
        (field(), shape(), shape()).prop_map(|(field, one, other)| format!("{field} ? {one} : {other}")),
    ]
}

fn joined(leaf: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn compiled_and_interpreted_agree(text in joined(shape()), events in prop::collection::vec(event(), 6)) {
        let ways = Ways::of(&text);
        prop_assert!(ways.plan.is_compiled());
        for event in events {
            let (parsed, event) = (ways.parsed(&event), event.to_string());
            prop_assert_eq!(ways.compiled(&event), parsed, "compiled, {} of {}", text, event);
            prop_assert_eq!(ways.interpreted(&event), parsed, "interpreted, {} of {}", text, event);
        }
    }

    #[test]
    fn mixed_conditions_agree(text in joined(prop_oneof![shape(), odd()]), events in prop::collection::vec(event(), 6)) {
        let ways = Ways::of(&text);
        for event in events {
            let (parsed, event) = (ways.parsed(&event), event.to_string());
            prop_assert_eq!(ways.compiled(&event), parsed, "compiled, {} of {}", text, event);
            prop_assert_eq!(ways.interpreted(&event), parsed, "interpreted, {} of {}", text, event);
        }
    }

    #[test]
    fn they_agree_on_torn_payloads(
        text in joined(shape()),
        event in event(),
        tears in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec!["", "\"", "{", "]", ",", "\\", "1", " "])), 1..4),
    ) {
        let mut torn = event.to_string();
        for (place, with) in tears {
            let places: Vec<usize> = torn.char_indices().map(|(at, _)| at).chain([torn.len()]).collect();
            let index = place.index(places.len());
            let end = places.get(index + 1).copied().unwrap_or(torn.len());
            torn.replace_range(places[index]..end, with);
        }
        let ways = Ways::of(&text);
        prop_assert_eq!(ways.compiled(&torn), ways.interpreted(&torn), "{} of {}", text, torn);
    }
}
