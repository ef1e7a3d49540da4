//! `encoder = { type = "template" }`: a text with places that each event fills.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::text::Texts;
use super::{Contract, Encode, Encoded, Encoder};
use crate::batch::Batch;
use crate::expr;
use crate::sink::{Failure, WriteError};

/// What may be set about it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The value, with places such as `{event:/id}`. An event that lacks what a place needs is refused (`missing`).
    pub template: expr::Template,
    /// Media type of a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Makes one value of each event.
#[derive(Clone, Debug)]
pub struct Template {
    template: expr::Template,
    contract: Contract,
}

impl Template {
    /// As it is configured.
    pub fn new(settings: &Settings) -> Template {
        let contract = settings.content_type.as_deref().map(Contract::of_type).unwrap_or_default();
        Template { template: settings.template.clone(), contract }
    }
}

#[async_trait]
impl Encoder for Template {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Encode for Template {
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let mut texts = Texts::new(events.len());
        for row in 0..events.len() {
            texts.push(row, |text| {
                self.template.render(events, row, text).map_err(|missing| ("missing", missing.to_string()))
            });
        }
        texts.finish(events)
    }
}
