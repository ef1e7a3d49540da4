//! `sump inspect`: what a component is.

use super::{Exit, args, environment, result, say};
use crate::units;
use crate::wasm::{Component, Host};

pub(super) fn inspect(args: &args::Inspect) -> anyhow::Result<Exit> {
    let host = Host::new(environment::compiled_folder()?)?;
    match host.load(&args.component) {
        Ok(component) => {
            let text = if args.json { json(&component)? } else { text(&component) };
            result(&text)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            Ok(Exit::Usage)
        }
    }
}

fn json(component: &Component) -> anyhow::Result<String> {
    let value = serde_json::json!({
        "world": component.world().name(),
        "exports": component.exports(),
        "description": component.description(),
        "imports": component.imports().iter().map(|import| {
            serde_json::json!({ "interface": import.name, "grant": import.grant })
        }).collect::<Vec<_>>(),
        "size": component.size(),
        "compile_time_ms": component.compile_time().as_millis() as u64,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn text(component: &Component) -> String {
    let described = component.description();
    let mut text = format!("{} {}\n", described.name, described.version);
    let mut line = |name: &str, value: String| {
        text.push_str(&format!("  {name:<14} {value}\n"));
    };
    line("world", component.world().name().into());
    line("exports", component.exports().join(", "));
    line("size", units::size::about(component.size() as u64));
    let cached = if component.is_from_cache() { ", found in the cache" } else { "" };
    line("compile time", format!("{}{cached}", units::duration::about(component.compile_time())));
    for (name, limit) in [("max events", described.max_events), ("max bytes", described.max_bytes)] {
        if let Some(limit) = limit {
            line(name, limit.to_string());
        }
    }
    if let Some(kind) = &described.content_type {
        line("content type", kind.clone());
    }
    line("stops in order", if described.stops_in_order { "yes" } else { "no" }.into());
    text.push_str("may use\n");
    for import in component.imports() {
        let grant = import.grant.unwrap_or("always there");
        text.push_str(&format!("  {:<44} {grant}\n", import.name));
    }
    if let Some(schema) = &described.config_schema {
        text.push_str(&format!("configuration\n{schema:#}\n"));
    }
    text
}
