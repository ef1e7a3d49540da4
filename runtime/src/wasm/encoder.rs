//! A component that makes values of events: pure, so what it imports is there and does nothing.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use async_trait::async_trait;
use wasmtime::Store;

use super::binary::World;
use super::capabilities::{BadGrant, Capabilities};
use super::columns::Scratch;
use super::component::{Adapter, Component};
use super::limits::Cpu;
use super::output::Output;
use super::settings::{Allow, EncoderSettings, Limits};
use super::stage::Stage;
use super::state::{self, State};
use super::v0_1::answers::encoder as answers;
use super::v0_1::batches::encoder as batches;
use super::v0_1::encoder::exports::sump::sink::encoder::{self as exported, Guest};
use super::v0_1::encoder::sump::sink::events;
use super::v0_1::encoder::{EncoderComponent, EncoderComponentPre};
use crate::batch::{Batch, Headers, RowSet};
use crate::sink::encode::{Contract, Encode, Encoded, Encoder, Sources, Values};
use crate::sink::{Failure, Refusal, WriteError};

/// An encoder that can't be made of a component.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// It writes by itself.
    #[error("it is a sink, not an encoder: name it as the `path` of a sink of type `wasm`")]
    NotAnEncoder,
    /// What is closed can't be made.
    #[error(transparent)]
    Closed(#[from] BadGrant),
}

/// A component as the encoder of one sink.
pub struct WasmEncoder {
    pre: EncoderComponentPre<State>,
    pipeline: String,
    sink: String,
    config: String,
    limits: Limits,
    closed: Capabilities,
    contract: Contract,
    /// Keeps the clock that interrupts it.
    _component: Component,
}

impl Component {
    /// Makes the encoder of a pipeline's sink of this component.
    ///
    /// Fails when it is a sink.
    pub fn encoder(&self, pipeline: &str, sink: &str, settings: &EncoderSettings) -> Result<WasmEncoder, EncoderError> {
        self.closed_encoder(pipeline, sink, settings, None)
    }

    /// The same where it is tried: what it uses is counted.
    pub fn encoder_on(
        &self,
        stage: &Stage,
        pipeline: &str,
        sink: &str,
        settings: &EncoderSettings,
    ) -> Result<WasmEncoder, EncoderError> {
        self.closed_encoder(pipeline, sink, settings, Some(stage))
    }

    fn closed_encoder(
        &self,
        pipeline: &str,
        sink: &str,
        settings: &EncoderSettings,
        stage: Option<&Stage>,
    ) -> Result<WasmEncoder, EncoderError> {
        debug_assert_eq!(matches!(self.adapter(), Adapter::Encoder(_)), self.world() == World::Encoder);
        let Adapter::Encoder(pre) = self.adapter() else { return Err(EncoderError::NotAnEncoder) };
        let described = self.description();
        let limit = |limit: Option<u32>| limit.and_then(|limit| NonZeroUsize::new(limit as usize));
        Ok(WasmEncoder {
            pre: pre.clone(),
            pipeline: pipeline.to_owned(),
            sink: sink.to_owned(),
            config: settings.config.to_string(),
            limits: settings.limits.clone(),
            closed: Capabilities::new(pipeline, sink, &Allow::default(), &BTreeMap::new(), stage)?,
            contract: Contract {
                content_type: described.content_type.as_deref().map(Arc::from),
                max_events: limit(described.max_events),
                max_bytes: limit(described.max_bytes),
                merges: true,
            },
            _component: self.clone(),
        })
    }
}

#[async_trait]
impl Encoder for WasmEncoder {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        let output = |stream| Output::new(&self.pipeline, &self.sink, 0, stream);
        let context = self.closed.inert(output("stdout"), output("stderr"));
        let (mut store, cpu) = state::store(self.pre.engine(), context, &self.closed, &self.limits);
        let opening = events::Opening { config: &self.config, pipeline: &self.pipeline, sink: &self.sink, instance: 0 };
        let opened = async {
            let guest = self.pre.instantiate_async(&mut store).await?;
            let answer = guest.sump_sink_encoder().call_open(&mut store, opening).await?;
            Ok((guest, answer))
        };
        let (guest, answer) =
            cpu.charge(opened).await.map_err(|error: wasmtime::Error| store.data().failure(&error))?;
        answer.map_err(answers::failure)?;
        Ok(Box::new(Instance { store, guest, cpu, scratch: Scratch::default(), runs: Vec::new() }))
    }
}

/// An open instance. After a call that traps, or whose future is dropped, nobody uses it again.
struct Instance {
    store: Store<State>,
    guest: EncoderComponent,
    cpu: Arc<Cpu>,
    scratch: Scratch,
    runs: Vec<events::Run>,
}

#[async_trait]
impl Encode for Instance {
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let Instance { store, guest, cpu, scratch, runs } = self;
        batches::runs(events.origin().runs(), runs);
        let columns = scratch.columns(events);
        let batch = batches::batch(&columns, runs);
        store.set_epoch_deadline(1);
        store.data_mut().memory().forget_refusals();
        let guest: &Guest = guest.sump_sink_encoder();
        let answer = cpu.charge(guest.call_encode(&mut *store, batch)).await;
        state::note_use(&*store);
        let answer = answer.map_err(|error| WriteError::Lost(store.data().failure(&error)))?;
        let encoded = answer.map_err(|failure| WriteError::Failed(answers::failure(failure)))?;
        lifted(events.len(), encoded).map_err(|lie| Failure::rejected("bad-encoding", lie).into())
    }
}

/// What a guest made of so many events, checked.
fn lifted(count: usize, encoded: exported::Encoded) -> Result<Encoded, String> {
    let exported::Encoded { payload, key, timestamps, headers, sources, refused } = encoded;
    let values = Values {
        payload: column(payload, "the payload")?,
        key: key.map(|key| column(key, "the key")).transpose()?,
        timestamps: timestamps.map(Into::into),
        headers: headers.map(pairs).transpose()?,
    };
    let sources = sources.map(|exported::Sources { offsets, events }| Sources { offsets, events });
    if sources.is_none() && !refused.is_empty() {
        return Err("it refuses events, and does not say which of the others each value was made of".to_owned());
    }
    let refusals = refused.into_iter().map(|exported::Refusal { events, failure }| {
        let named = events.len();
        let rows = RowSet::from_rows(events);
        if rows.len() != named {
            return Err("it names an event twice in one refusal".to_owned());
        }
        Ok(Refusal { rows, failure: answers::failure(failure) })
    });
    let refusals = refusals.collect::<Result<_, _>>()?;
    Encoded::new(count, values, sources, refusals).map_err(|lie| lie.to_string())
}

fn column(column: events::ColumnResult, what: &str) -> Result<BinaryArray, String> {
    let events::ColumnResult { offsets, bytes, validity } = column;
    let whole = offsets.first() == Some(&0) && offsets.last().is_some_and(|last| *last as usize == bytes.len());
    if !whole || !offsets.is_sorted() || i32::try_from(bytes.len()).is_err() {
        return Err(format!("the offsets of {what} do not ascend from 0 to the {} bytes that there are", bytes.len()));
    }
    let values = offsets.len() - 1;
    let nulls = match validity {
        Some(bits) if bits.len() == values.div_ceil(8) => {
            Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, values)))
        }
        Some(bits) => return Err(format!("the validity of {what} has {} bytes for {values} values", bits.len())),
        None => None,
    };
    // The same bytes, read as signed: none is beyond the last, which was looked at.
    let offsets = OffsetBuffer::new(ScalarBuffer::<i32>::from(Buffer::from_vec(offsets)));
    BinaryArray::try_new(offsets, Buffer::from_vec(bytes), nulls).map_err(|error| error.to_string())
}

fn pairs(headers: events::HeadersResult) -> Result<Headers, String> {
    let events::HeadersResult { offsets, names, values } = headers;
    let (names, values) = (column(names, "the names of headers")?, column(values, "the values of headers")?);
    if offsets.first() != Some(&0) || offsets.last().is_none_or(|last| *last as usize != names.len()) {
        return Err(format!("the offsets of headers do not ascend from 0 to the {} pairs that there are", names.len()));
    }
    let offsets = offsets.into_iter().map(|offset| i32::try_from(offset).unwrap_or(i32::MAX)).collect();
    Headers::new(offsets, names, values).map_err(|error| error.to_string())
}
