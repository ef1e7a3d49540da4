//! What a call that did not return means.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::sink::Failure;
use crate::units::text;

use super::limits::CpuExceeded;

/// Of a call, an opening or an instantiation. Whatever happened, its events are perhaps written.
pub(super) fn failure(error: &wasmtime::Error, memory_refused: bool) -> Failure {
    let place = place(error).map(|function| format!(" in `{function}`")).unwrap_or_default();
    let failure = |code: &str, message: String| Failure::unknown(code, text::clean(&message, text::MAX_MESSAGE));
    if let Some(exceeded) = error.downcast_ref::<CpuExceeded>() {
        return failure("cpu-limit", format!("{exceeded}{place}: raise `limits.cpu`, or have it do less in one call"));
    }
    if memory_refused {
        return failure("memory-limit", format!("it asked for more memory than `limits.memory` allows{place}"));
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        return failure("exit", format!("it called exit with status {status}{place}"));
    }
    let reason = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it gave up (a panic, an abort or an assertion)".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    failure("trap", format!("{reason}{place}"))
}

/// The innermost function that is not the machinery of a panic.
fn place(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let names: Vec<String> = names.by_ref().take(32).collect();
    let theirs = names.iter().find(|name| !MACHINERY.iter().any(|part| name.contains(part)));
    theirs.or(names.first()).map(|name| text::clean(name, 200))
}

const MACHINERY: [&str; 8] =
    ["panic", "abort", "std::sys", "__rust", "rust_begin_unwind", "core::option::", "core::result::", "alloc::"];
