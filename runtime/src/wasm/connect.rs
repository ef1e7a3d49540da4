//! A component with its configuration and its grants: what the delivery opens.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;

use super::async_instance::AsyncInstance;
use super::binary::World;
use super::capabilities::{BadGrant, Capabilities};
use super::component::{Adapter, Component};
use super::instance::{Opening, PlainInstance};
use super::output::Output;
use super::settings::{Limits, Settings};
use super::stage::Stage;
use super::state;
use crate::sink::{Connect, Contract, Failure, Sink};

/// A sink that can't be made of a component.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It writes nothing.
    #[error("it is an encoder, not a sink: name it as the `encoder` of a native sink")]
    NotASink,
    /// A grant can't be given.
    #[error(transparent)]
    Grant(#[from] BadGrant),
}

/// A component as one pipeline's sink.
pub struct Connector {
    component: Component,
    pipeline: String,
    sink: String,
    config: String,
    limits: Limits,
    capabilities: Capabilities,
    contract: Contract,
}

impl Component {
    /// Makes a sink of a pipeline of this component. `env` has the values of the variables that are granted;
    /// `concurrency` is how many writes may be in flight.
    ///
    /// Fails when it is no sink, or something that is granted is not there.
    pub fn connect(
        &self,
        pipeline: &str,
        sink: &str,
        settings: &Settings,
        env: &BTreeMap<String, String>,
        concurrency: NonZeroUsize,
    ) -> Result<Connector, ConnectError> {
        let capabilities = Capabilities::new(pipeline, sink, &settings.allow, env, None)?;
        self.connector(pipeline, sink, settings, capabilities, concurrency)
    }

    /// The same where it is tried: what is granted leads to the stage.
    pub fn connect_on(
        &self,
        stage: &Stage,
        pipeline: &str,
        sink: &str,
        settings: &Settings,
        env: &BTreeMap<String, String>,
        concurrency: NonZeroUsize,
    ) -> Result<Connector, ConnectError> {
        let capabilities = Capabilities::new(pipeline, sink, &settings.allow, env, Some(stage))?;
        self.connector(pipeline, sink, settings, capabilities, concurrency)
    }

    fn connector(
        &self,
        pipeline: &str,
        sink: &str,
        settings: &Settings,
        capabilities: Capabilities,
        concurrency: NonZeroUsize,
    ) -> Result<Connector, ConnectError> {
        let overlap = match self.world() {
            World::Sink => NonZeroUsize::MIN,
            World::AsyncSink => concurrency,
            World::Encoder => return Err(ConnectError::NotASink),
        };
        let described = self.description();
        let limit = |limit: Option<u32>| limit.and_then(|limit| NonZeroUsize::new(limit as usize));
        Ok(Connector {
            component: self.clone(),
            pipeline: pipeline.to_owned(),
            sink: sink.to_owned(),
            config: settings.config.to_string(),
            limits: settings.limits.clone(),
            capabilities,
            contract: Contract {
                max_events: limit(described.max_events),
                max_bytes: limit(described.max_bytes),
                overlap,
                ahead: NonZeroUsize::MIN,
                stops_in_order: described.stops_in_order,
                destination: None,
                reads_events: false,
            },
        })
    }
}

#[async_trait]
impl Connect for Connector {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self, instance: u32) -> Result<Arc<dyn Sink>, Failure> {
        let output = |stream| Output::new(&self.pipeline, &self.sink, instance, stream);
        let context = self
            .capabilities
            .context(output("stdout"), output("stderr"))
            .map_err(|bad| Failure::halted("grant", bad.to_string()))?;
        let opening = Opening { config: &self.config, pipeline: &self.pipeline, sink: &self.sink, instance };
        let store = |engine| state::store(engine, context, &self.capabilities, &self.limits);
        match self.component.adapter() {
            Adapter::Sink(pre) => {
                let instance = PlainInstance::open(pre, store(pre.engine()), opening).await?;
                Ok(Arc::new(instance))
            }
            Adapter::AsyncSink(pre) => {
                let instance = AsyncInstance::open(pre, store(pre.engine()), opening, self.contract.overlap).await?;
                Ok(Arc::new(instance))
            }
            Adapter::Encoder(_) => Err(Failure::halted("world", ConnectError::NotASink.to_string())),
        }
    }
}
