//! Turns a core module, which is what compilers make, into a component of the contract's world.

use std::path::Path;
use std::{fs, io};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::Encode;
use wasmparser::{BinaryReader, BinaryReaderError, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// A module that does not become a component.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It exports neither a sink nor an encoder.
    #[error("the module exports neither a sink nor an encoder: does the program use the SDK, and register what it is?")]
    NoWorld,
    /// It can't be read.
    #[error("the module that the compiler made can't be read: {0}")]
    Unreadable(#[from] BinaryReaderError),
    /// It imports or exports what does not fit.
    #[error("the module does not fit the SDK's world: {0}")]
    Unfit(String),
}

/// The packages of WIT that the SDKs' worlds are made of, each behind those that it needs, with a name for errors.
const PACKAGES: [(&str, &str); 4] = [
    ("wasi-io-0.2.12/io.wit", include_str!("../../../guest-sdk/rust/wit/deps/wasi-io-0.2.12/io.wit")),
    ("wasi-clocks-0.2.12/clocks.wit", include_str!("../../../guest-sdk/rust/wit/deps/wasi-clocks-0.2.12/clocks.wit")),
    ("wasi-http-0.2.12/http.wit", include_str!("../../../guest-sdk/rust/wit/deps/wasi-http-0.2.12/http.wit")),
    ("sump-sink/sink.wit", include_str!("../../../wit/sink.wit")),
];

/// The SDKs' worlds.
const WORLDS: &str = include_str!("../../../guest-sdk/wit/worlds.wit");

/// Makes a component of a core module that exports a sink or an encoder.
pub(super) fn encode(mut module: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    let (resolve, world) = select(world(&module)?)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(unfit)?;
    let encoder = ComponentEncoder::default().validate(true).module(&module).map_err(unfit)?;
    let adapter = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    let component = adapter.map_err(unfit)?.encode().map_err(unfit)?;
    Ok(stripped(&component)?)
}

/// Without the names of what the encoder and the adapter put in: nobody meets them, and they are a tenth of a small sink.
/// Names in the compiler's own module, which backtraces show, are the compiler's to keep.
fn stripped(binary: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    const MODULE: u8 = 1;
    let mut reader = BinaryReader::new(binary, 0);
    let mut made = reader.read_bytes(8)?.to_vec();
    let mut modules = 0;
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let content = reader.read_bytes(size)?;
        if id == 0 && BinaryReader::new(content, 0).read_string()? == "component-name" {
            continue;
        }
        made.push(id);
        if id == MODULE {
            modules += 1;
        }
        if id == MODULE && modules > 1 { without_names(content)?.encode(&mut made) } else { content.encode(&mut made) }
    }
    Ok(made)
}

/// A module without its names.
fn without_names(module: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut made = module.get(..8).unwrap_or_default().to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if matches!(&payload, Payload::CustomSection(section) if section.name() == "name") {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            made.push(id);
            module[range].encode(&mut made);
        }
    }
    Ok(made)
}

/// Writes them all into a folder, as tools take them that make components themselves.
pub(super) fn write_packages(folder: &Path) -> io::Result<()> {
    for (path, text) in PACKAGES {
        let path = folder.join("deps").join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
    }
    fs::write(folder.join("worlds.wit"), WORLDS)
}

/// One of the worlds, with everything that it is made of.
fn select(name: &str) -> Result<(Resolve, WorldId), EncodeError> {
    let mut resolve = Resolve::default();
    for (path, text) in PACKAGES {
        resolve.push_str(path, text).map_err(unfit)?;
    }
    let package = resolve.push_str("worlds.wit", WORLDS).map_err(unfit)?;
    let world = resolve.select_world(&[package], Some(name)).map_err(unfit)?;
    Ok((resolve, world))
}

/// With all its causes.
fn unfit(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Unfit(format!("{error:#}"))
}

/// The name of the world that a module is of, by what it exports.
fn world(module: &[u8]) -> Result<&'static str, EncodeError> {
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ExportSection(exports) = payload? else { continue };
        for export in exports {
            let name = export?.name;
            if name.starts_with("sump:sink/sink@") {
                return Ok("sink-component");
            }
            if name.starts_with("sump:sink/encoder@") {
                return Ok("encoder-component");
            }
        }
    }
    Err(EncodeError::NoWorld)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worlds_hold_the_contract_and_what_the_sdks_wrap() {
        for name in ["sink-component", "encoder-component"] {
            let (resolve, world) = select(name).unwrap();
            let world = &resolve.worlds[world];
            assert_eq!(world.exports.len(), 1, "{}", world.name);
        }
    }

    #[test]
    fn a_module_that_is_no_sink_is_told() {
        let other = wat::parse_str(r#"(module (func (export "run")))"#).unwrap();
        assert!(matches!(encode(other), Err(EncodeError::NoWorld)));
        let half =
            wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "sump:sink/sink@0.1.0#open")))"#);
        let error = encode(half.unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("the module does not fit"), "{error}");
    }
}
