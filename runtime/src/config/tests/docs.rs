//! `docs/configuration.md` names every setting, with the default that it has.

use serde::Serialize;

use crate::config::de::fields_of;
use crate::config::{ConnectionKind, Encoder, Routing, Settings, SinkKind, SourceKind};
use crate::delivery;
use crate::source;
use crate::source::framing;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// The rows that tables of settings without required ones must have.
fn rows(path: &str, value: &toml::Value, rows: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                self::rows(&format!("{path}{dot}{key}"), value, rows);
            }
        }
        value => rows.push(format!("| `{path}` | `{value}` |")),
    }
}

#[test]
fn defaults_are_those_of_the_code() {
    fn defaults<T: Default + Serialize>() -> toml::Value {
        toml::Value::try_from(T::default()).expect("settings can be written")
    }
    let mut expected = Vec::new();
    for settings in [
        defaults::<Settings>(),
        defaults::<Routing>(),
        defaults::<framing::Settings>(),
        defaults::<source::generate::Settings>(),
        defaults::<crate::sink::console::Settings>(),
        defaults::<delivery::Settings>(),
    ] {
        rows("", &settings, &mut expected);
    }
    for row in expected {
        assert!(PAGE.contains(&row), "docs/configuration.md has no row that begins with {row}");
    }
}

#[test]
fn every_setting_is_named() {
    let tables = [
        fields_of::<Settings>(),
        fields_of::<Routing>(),
        fields_of::<framing::Settings>(),
        fields_of::<delivery::Settings>(),
    ];
    let own = [ConnectionKind::all_fields(), SinkKind::all_fields(), SourceKind::all_fields(), Encoder::all_fields()];
    let kinds = own.concat();
    for field in tables.into_iter().chain(kinds).flatten() {
        let named = [format!("| `{field}` |"), format!("| `{field}.")].iter().any(|row| PAGE.contains(row));
        assert!(named, "docs/configuration.md does not have `{field}`");
    }
    for kind in [ConnectionKind::TYPES, SinkKind::TYPES, SourceKind::TYPES, Encoder::TYPES].concat() {
        assert!(PAGE.contains(&format!("`{kind}`")), "docs/configuration.md does not have the type `{kind}`");
    }
}
