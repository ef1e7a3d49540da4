//! Takes everything and keeps nothing. What it took is counted where everything is counted, in the delivery.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use crate::batch::Batch;

/// There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}

/// The end of events that nobody wants, and the sink to measure everything else with.
#[derive(Debug, Default)]
pub struct Null {
    contract: Contract,
}

impl Null {
    /// There is only one kind.
    pub fn new() -> Null {
        Null::default()
    }
}

#[async_trait]
impl Connect for Null {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Nothing))
    }
}

struct Nothing;

#[async_trait]
impl Sink for Nothing {
    async fn write(&self, _: &Batch, _: &WriteContext) -> Result<Outcome, WriteError> {
        Ok(Outcome::Written)
    }
}
