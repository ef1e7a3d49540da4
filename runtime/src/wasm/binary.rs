//! Reads what a file is, and what a component wants and offers, before anything of it is compiled or run.

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use super::interfaces;

/// The versions of the contract that this runtime takes.
pub(super) const CONTRACT: &str = "0.1.0";

/// Which of the contract's worlds a component is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Writes batches, one call at a time.
    Sink,
    /// Writes batches, in calls that overlap.
    AsyncSink,
    /// Turns events into what a native sink delivers.
    Encoder,
}

impl World {
    /// The name of the interface that it exports.
    pub fn name(self) -> &'static str {
        match self {
            World::Sink => "sink",
            World::AsyncSink => "async-sink",
            World::Encoder => "encoder",
        }
    }
}

/// What a binary says of itself.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Binary {
    pub(super) world: World,
    /// Whether it uses async types or WASI 0.3, which one of the engines refuses.
    pub(super) concurrent: bool,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// Why a file is no component that can be used. Says what to do instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing is in it.
    #[error("it is empty: build the component again")]
    Empty,
    /// WebAssembly in its text form.
    #[error("it is WebAssembly in text form: `wasm-tools parse` makes a binary of it")]
    WasmText,
    /// Some text.
    #[error("it is a text file: give the compiled component, a file that ends in `.wasm`")]
    Text,
    /// Some other binary.
    #[error("it is not WebAssembly: give the compiled component, a file that ends in `.wasm`")]
    Foreign,
    /// The rest is missing.
    #[error("it is cut off after {size} bytes: build or copy it again")]
    Truncated {
        /// Its size in bytes.
        size: usize,
    },
    /// Not yet a component.
    #[error(
        "it is a core module, not a component: build it for the target `wasm32-wasip2`, or turn it into a component \
         with `wasm-tools component new`"
    )]
    CoreModule,
    /// Damaged, or made with features that this runtime does not know.
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    /// Made against another version of the contract.
    #[error(
        "it was built for version {found} of `sump:sink`, and this runtime takes {CONTRACT}: build it with the matching \
         SDK, or use the matching runtime"
    )]
    OtherVersion {
        /// The version that it exports.
        found: String,
    },
    /// It does not export what a sink exports.
    #[error(
        "it is a component of another world: it exports {exports}, and a sink exports `sump:sink/sink@{CONTRACT}` (or \
         `async-sink`, or `encoder`): build it with an SDK, or against `wit/sink.wit`"
    )]
    OtherWorld {
        /// What it exports.
        exports: String,
    },
    /// It is several things at once.
    #[error("it exports more than one of `sink`, `async-sink` and `encoder`: leave one")]
    SeveralWorlds,
    /// It wants what the runtime does not have.
    #[error(
        "it imports {0}, which Sump does not have: sinks import WASI 0.2 (up to 0.2.{max}) or 0.3.0 and nothing else; \
         remove the dependency that needs it, or compose it in with `wac plug`",
        max = interfaces::LATEST_0_2
    )]
    ForeignImports(String),
}

/// Reads a file's bytes.
pub(super) fn read(bytes: &[u8]) -> Result<Binary, Unfit> {
    kind(bytes)?;
    let (imports, exports) = names(bytes)?;
    let invalid = |error: wasmparser::BinaryReaderError| Unfit::Invalid(error.to_string());
    let mut features = WasmFeatures::default();
    features.remove(WasmFeatures::CM_ASYNC);
    let needs_async = Validator::new_with_features(features).validate_all(bytes).is_err();
    if needs_async {
        Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).map_err(invalid)?;
    }
    let world = world(&exports)?;
    let foreign: Vec<String> =
        imports.iter().filter(|name| !interfaces::is_known(name)).map(|name| format!("`{name}`")).collect();
    if !foreign.is_empty() {
        return Err(Unfit::ForeignImports(foreign.join(", ")));
    }
    let concurrent = needs_async || imports.iter().any(|name| interfaces::is_0_3(name));
    Ok(Binary { world, concurrent, imports, exports })
}

fn kind(bytes: &[u8]) -> Result<(), Unfit> {
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Unfit::CoreModule);
    }
    if bytes.is_empty() {
        return Err(Unfit::Empty);
    }
    if bytes.starts_with(b"\0asm") || b"\0asm".starts_with(bytes) {
        return Err(Unfit::Truncated { size: bytes.len() });
    }
    let text = &bytes[..bytes.len().min(512)];
    let readable = text.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace());
    match text.trim_ascii_start() {
        start if start.starts_with(b"(component") || start.starts_with(b"(module") => Err(Unfit::WasmText),
        _ if readable => Err(Unfit::Text),
        _ => Err(Unfit::Foreign),
    }
}

/// The names that the outermost component imports and exports.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), Unfit> {
    let unreadable = |error: wasmparser::BinaryReaderError| match error.message() {
        message if message.contains("unexpected end") => Unfit::Truncated { size: bytes.len() },
        _ => Unfit::Invalid(error.to_string()),
    };
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(unreadable)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Unfit::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(unreadable)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(unreadable)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn world(exports: &[String]) -> Result<World, Unfit> {
    let offered: Vec<World> = [World::Sink, World::AsyncSink, World::Encoder]
        .into_iter()
        .filter(|world| exports.contains(&format!("sump:sink/{}@{CONTRACT}", world.name())))
        .collect();
    if let [world] = offered[..] {
        return Ok(world);
    }
    if !offered.is_empty() {
        return Err(Unfit::SeveralWorlds);
    }
    let version = exports.iter().filter(|name| name.starts_with("sump:sink/")).find_map(|name| name.split_once('@'));
    if let Some((_, found)) = version {
        return Err(Unfit::OtherVersion { found: found.to_owned() });
    }
    let exports: Vec<String> = exports.iter().take(8).map(|name| format!("`{name}`")).collect();
    let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(Unfit::OtherWorld { exports })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfit(bytes: &[u8]) -> Unfit {
        read(bytes).unwrap_err()
    }

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(unfit(b""), Unfit::Empty);
        assert_eq!(unfit(b"path = 'x'\n"), Unfit::Text);
        assert_eq!(unfit(b"  (component)"), Unfit::WasmText);
        assert_eq!(unfit(b"\x7fELF\x02\x01\x01\0\0"), Unfit::Foreign);
        assert_eq!(unfit(&component("(module)")), Unfit::CoreModule);
        assert_eq!(unfit(b"\0as"), Unfit::Truncated { size: 3 });
    }

    #[test]
    fn a_file_that_is_cut_off_is_told_apart_wherever_it_ends() {
        let whole = component(
            r#"(component
                (core module $m (func (export "f")))
                (import "wasi:io/poll@0.2.0" (instance))
                (core instance (instantiate $m)))"#,
        );
        for size in 9..whole.len() {
            let found = unfit(&whole[..size]);
            let fits = matches!(found, Unfit::Truncated { .. } | Unfit::OtherWorld { .. } | Unfit::Invalid(_));
            assert!(fits, "{size}: {found:?}");
        }
        assert_eq!(unfit(&whole[..20]), Unfit::Truncated { size: 20 });
    }

    #[test]
    fn a_component_of_another_world_is_told_what_it_exports() {
        let other = component(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
        assert_eq!(unfit(&other), Unfit::OtherWorld { exports: "`wasi:cli/run@0.2.0`".into() });
        let newer = component(r#"(component (instance $i) (export "sump:sink/sink@0.9.0" (instance $i)))"#);
        assert_eq!(unfit(&newer), Unfit::OtherVersion { found: "0.9.0".into() });
        let both = component(
            r#"(component (instance $i)
                (export "sump:sink/sink@0.1.0" (instance $i)) (export "sump:sink/encoder@0.1.0" (instance $i)))"#,
        );
        assert_eq!(unfit(&both), Unfit::SeveralWorlds);
    }

    #[test]
    fn imports_beyond_wasi_are_foreign() {
        let foreign = component(
            r#"(component
                (import "acme:db/client@1.0.0" (instance))
                (import "wasi:clocks/wall-clock@0.2.99" (instance))
                (instance $i) (export "sump:sink/sink@0.1.0" (instance $i)))"#,
        );
        let expected = "`acme:db/client@1.0.0`, `wasi:clocks/wall-clock@0.2.99`";
        assert_eq!(unfit(&foreign), Unfit::ForeignImports(expected.into()));
    }

    #[test]
    fn wasi_0_3_asks_for_the_concurrent_engine() {
        let uses = |import: &str| {
            let text = format!(
                r#"(component (import "{import}" (instance))
                    (instance $i) (export "sump:sink/sink@0.1.0" (instance $i)))"#
            );
            read(&component(&text)).unwrap().concurrent
        };
        assert!(!uses("wasi:clocks/wall-clock@0.2.6"));
        assert!(uses("wasi:clocks/system-clock@0.3.0"));
    }
}
