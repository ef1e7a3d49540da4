//! Asks a component what it is: in a closed instance, with limits of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use wasmtime::Engine;

use super::capabilities::Capabilities;
use super::component::{Adapter, Description};
use super::output::Output;
use super::settings::{Allow, Limits};
use super::state;
use crate::units::text;

/// Language runtimes set themselves up before they answer.
const MEMORY: u64 = 512 << 20;
const CPU: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_NAME: usize = 200;
const MAX_SCHEMA: usize = 1 << 20;

/// As the contract has it, whichever world it is from.
struct Said {
    name: String,
    version: String,
    config_schema: Option<String>,
    max_events: Option<u32>,
    max_bytes: Option<u32>,
    stops_in_order: bool,
    content_type: Option<String>,
}

macro_rules! said {
    ($answer:expr) => {{
        let answer = $answer;
        Said {
            name: answer.name,
            version: answer.version,
            config_schema: answer.config_schema,
            max_events: answer.max_events,
            max_bytes: answer.max_bytes,
            stops_in_order: answer.stops_in_order,
            content_type: answer.content_type,
        }
    }};
}

/// Blocks until the component has answered. That is on a thread of its own, which may wait whoever calls.
pub(super) fn describe(engine: &Engine, adapter: &Adapter) -> Result<Description, String> {
    let said = std::thread::scope(|scope| scope.spawn(|| wait(engine, adapter)).join());
    checked(said.unwrap_or_else(|_| Err("the host failed".to_owned()))?)
}

fn wait(engine: &Engine, adapter: &Adapter) -> Result<Said, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let said = runtime.block_on(async {
        let asked = tokio::time::timeout(TIMEOUT, ask(engine, adapter)).await;
        asked.unwrap_or_else(|_| Err(format!("it did not return within {}", crate::units::duration::print(TIMEOUT))))
    });
    // Calls that block on other threads are left behind.
    runtime.shutdown_background();
    said
}

async fn ask(engine: &Engine, adapter: &Adapter) -> Result<Said, String> {
    let closed =
        Capabilities::new("", "describe", &Allow::default(), &BTreeMap::new(), None).map_err(|e| e.to_string())?;
    let output = |stream| Output::new("", "describe", 0, stream);
    let context = closed.context(output("stdout"), output("stderr")).map_err(|e| e.to_string())?;
    let limits = Limits { memory: MEMORY, cpu: CPU };
    let (mut store, cpu) = state::store(engine, context, &closed, &limits);
    let asked = async {
        let store = &mut store;
        wasmtime::Result::Ok(match adapter {
            Adapter::Sink(pre) => {
                said!(pre.instantiate_async(&mut *store).await?.sump_sink_sink().call_describe(store).await?)
            }
            Adapter::AsyncSink(pre) => {
                said!(pre.instantiate_async(&mut *store).await?.sump_sink_async_sink().call_describe(store).await?)
            }
            Adapter::Encoder(pre) => {
                said!(pre.instantiate_async(&mut *store).await?.sump_sink_encoder().call_describe(store).await?)
            }
        })
    };
    let said = cpu.charge(asked).await;
    said.map_err(|error| store.data().failure(&error).message.to_string())
}

/// Nothing that a component says is believed.
fn checked(said: Said) -> Result<Description, String> {
    let schema = said.config_schema.map(|schema| match schema.len() {
        ..MAX_SCHEMA => serde_json::from_str(&schema).map_err(|error| format!("`config-schema` is not JSON: {error}")),
        _ => Err(format!("`config-schema` is longer than {MAX_SCHEMA} bytes")),
    });
    let config_schema: Option<Value> = schema.transpose()?;
    if let Some(schema) = &config_schema {
        super::schema::is_schema(schema).map_err(|error| format!("`config-schema` is not a JSON Schema: {error}"))?;
    }
    if said.max_events == Some(0) || said.max_bytes == Some(0) {
        return Err("`max-events` and `max-bytes` are at least 1, or absent".to_owned());
    }
    Ok(Description {
        name: text::clean(&said.name, MAX_NAME),
        version: text::clean(&said.version, MAX_NAME),
        config_schema,
        max_events: said.max_events,
        max_bytes: said.max_bytes,
        stops_in_order: said.stops_in_order,
        content_type: said.content_type.map(|kind| text::clean(&kind, MAX_NAME)),
    })
}
