//! How `sump test` and `sump bench` set a component up by the command line.

use std::path::Path;

use crate::config::{self, CommandLine, Diagnostic, SinkKind};
use crate::trial::Setup;
use crate::wasm::Component;

/// As `sump run SINK.wasm` would.
pub(super) fn by_command_line(
    set: &[String],
    allow_http: &[String],
    path: &Path,
    component: &Component,
) -> Result<Setup, Vec<Diagnostic>> {
    let path = path.to_string_lossy();
    let line = CommandLine { component: &path, set, allow_http, ..CommandLine::default() };
    let (plan, _) = config::from_command_line(&line)?;
    let mut setup = Setup::default();
    for pipeline in &plan.pipelines {
        for sink in &pipeline.sinks {
            let SinkKind::Wasm(settings) = &sink.kind else { continue };
            let schema = component.description().config_schema.as_ref();
            let config = plan.config_of(&pipeline.name, &sink.name, schema).unwrap_or_else(|| settings.config.clone());
            setup.config = config.as_object().cloned().unwrap_or_default();
            setup.allow.http = settings.allow.http.clone();
        }
    }
    Ok(setup)
}
