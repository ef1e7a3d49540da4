//! Components of a plan: each is loaded once, and becomes a sink or an encoder wherever the plan names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::build::Host;
use crate::config::{self, Diagnostic, Plan, SinkKind};
use crate::sink::Connect;
use crate::sink::encode::Encoder;
use crate::sink::encode::csv::Csv;
use crate::sink::encode::json::Json;
use crate::sink::encode::template::Template;
use crate::wasm;

/// By path: the component, or why there is none.
pub(super) struct Components(BTreeMap<PathBuf, Result<wasm::Component, String>>);

impl Components {
    /// Every component of a plan. Compiling takes its time, and happens on threads that may block.
    pub(super) async fn load(plan: &Plan, cache_dir: &Path) -> Result<Components, Vec<Diagnostic>> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for sink in plan.pipelines.iter().flat_map(|pipeline| &pipeline.sinks) {
            let path = match (&sink.kind, &sink.encoder) {
                (SinkKind::Wasm(settings), _) => &settings.path,
                (_, Some(config::Encoder::Wasm(settings))) => &settings.path,
                _ => continue,
            };
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        let mut components = BTreeMap::new();
        if paths.is_empty() {
            return Ok(Components(components));
        }
        let no_host = |error: String| vec![Diagnostic::error("wasm::host", error)];
        let host = wasm::Host::new(cache_dir.to_owned()).map_err(|error| no_host(error.to_string()))?;
        let mut loading = JoinSet::new();
        for path in paths {
            let host = host.clone();
            loading.spawn_blocking(move || {
                let component = host.load(&path).map_err(|error| error.to_string());
                (path, component)
            });
        }
        while let Some(loaded) = loading.join_next().await {
            let (path, component) = loaded.map_err(|error| no_host(error.to_string()))?;
            components.insert(path, component);
        }
        Ok(Components(components))
    }

    /// A component as a sink.
    pub(super) fn sink(
        &self,
        plan: &Plan,
        pipeline: &config::Pipeline,
        sink: &config::Sink,
        settings: &wasm::Settings,
        host: &Host,
    ) -> Result<Arc<dyn Connect>, Vec<Diagnostic>> {
        let error = |pointer: &str, message: String| plan.error_at(&pipeline.name, &sink.name, pointer, message);
        let component = self.at(&settings.path).map_err(|message| vec![error("/path", message)])?;
        let mut settings = settings.clone();
        let schema = component.description().config_schema.as_ref();
        if let Some(config) = plan.config_of(&pipeline.name, &sink.name, schema) {
            settings.config = config;
        }
        check_config(component, &settings.config, error)?;
        let mut environment = BTreeMap::new();
        for name in &settings.allow.env {
            if let Some(value) = (host.environment)(name) {
                environment.insert(name.clone(), value);
            }
        }
        let concurrency = sink.delivery.concurrency.most();
        match component.connect(&pipeline.name, &sink.name, &settings, &environment, concurrency) {
            Ok(connector) => Ok(Arc::new(connector)),
            Err(failure) => Err(vec![error("/allow", failure.to_string())]),
        }
    }

    /// What makes values of a sink's events, unless they go as they are.
    pub(super) fn encoder(
        &self,
        plan: &Plan,
        pipeline: &config::Pipeline,
        sink: &config::Sink,
    ) -> Result<Option<Arc<dyn Encoder>>, Vec<Diagnostic>> {
        Ok(match &sink.encoder {
            None | Some(config::Encoder::Raw(_)) => None,
            Some(config::Encoder::Json(settings)) => Some(Arc::new(Json::new(settings))),
            Some(config::Encoder::Csv(settings)) => Some(Arc::new(Csv::new(settings))),
            Some(config::Encoder::Template(settings)) => Some(Arc::new(Template::new(settings))),
            Some(config::Encoder::Wasm(settings)) => {
                let error = |pointer: &str, message: String| {
                    plan.error_at(&pipeline.name, &sink.name, &format!("/encoder{pointer}"), message)
                };
                let component = self.at(&settings.path).map_err(|message| vec![error("/path", message)])?;
                let mut settings = settings.clone();
                let schema = component.description().config_schema.as_ref();
                if let Some(config) = plan.encoder_config_of(&pipeline.name, &sink.name, schema) {
                    settings.config = config;
                }
                check_config(component, &settings.config, error)?;
                let encoder = component.encoder(&pipeline.name, &sink.name, &settings);
                let encoder = encoder.map_err(|failure| vec![error("/path", failure.to_string())])?;
                Some(Arc::new(encoder))
            }
        })
    }

    fn at(&self, path: &Path) -> Result<&wasm::Component, String> {
        match self.0.get(path) {
            Some(Ok(component)) => Ok(component),
            Some(Err(message)) => Err(message.clone()),
            None => Err("the component was not loaded".into()),
        }
    }
}

fn check_config(
    component: &wasm::Component,
    config: &serde_json::Value,
    error: impl Fn(&str, String) -> Diagnostic,
) -> Result<(), Vec<Diagnostic>> {
    component.check_config(config).map_err(|problems| {
        let place = |problem: wasm::Problem| error(&format!("/config{}", problem.place), problem.message);
        problems.into_iter().map(place).collect()
    })
}
