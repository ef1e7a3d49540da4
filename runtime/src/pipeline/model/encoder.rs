//! An encoder that does what its schedule says: its values tell what they were made of.

use std::time::Duration;

use arrow_array::BinaryArray;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::schedule::{Encoding, Shape};
use super::world::{State, World};
use crate::batch::{Batch, RowSet};
use crate::sink::encode::{Contract, Encode, Encoded, Encoder, Sources, Values};
use crate::sink::{Failure, Refusal, WriteError};

/// The code of events that an encoder refuses.
pub(super) const REFUSED: &str = "enc-refused";
/// The codes of calls that fail as a whole.
pub(super) const FAILED: [&str; 3] = ["enc-failed", "enc-broke", "timeout"];
/// Calls in vain from which on the search for bad events may have ended.
const SEARCHED: u32 = 8;

/// The encoder of one path's sink.
pub(super) struct Scripted {
    world: World,
    path: usize,
    encoding: Encoding,
    contract: Contract,
}

/// What a value tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Told {
    /// The numbers of its events.
    pub(super) of: Vec<usize>,
    /// Which of their values it is, and of how many.
    pub(super) part: u32,
    pub(super) parts: u32,
}

impl Scripted {
    pub(super) fn new(world: World, path: usize, encoding: Encoding) -> Scripted {
        let contract = Contract { max_events: encoding.max_events, merges: encoding.merges(), ..Contract::default() };
        Scripted { world, path, encoding, contract }
    }
}

#[async_trait]
impl Encoder for Scripted {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        let fails = self.world.with(|state| {
            let opened = &mut state.paths[self.path].encoder_opened;
            *opened += 1;
            *opened <= self.encoding.closed
        });
        if fails {
            return Err(Failure::halted("enc-closed", ""));
        }
        let (world, path, encoding) = (self.world.clone(), self.path, self.encoding.clone());
        Ok(Box::new(Open { world, path, encoding }))
    }
}

struct Open {
    world: World,
    path: usize,
    encoding: Encoding,
}

#[async_trait]
impl Encode for Open {
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let most = self.encoding.max_events.map_or(usize::MAX, |most| most.get());
        let (numbers, ended_before) = self.world.with(|state| {
            let numbers = state.numbers(self.path, events);
            if numbers.len() > most {
                let name = state.paths[self.path].name.clone();
                state.fail("limits", || format!("the encoder of {name} gets {numbers:?}: at most {most} events"));
            }
            let ended = state.ended(&numbers);
            (numbers, ended)
        });
        if self.encoding.takes > 0 {
            sleep(Duration::from_millis(self.encoding.takes)).await;
        }
        let shape = |event: &usize| self.encoding.shapes.get(event).copied();
        let fails = |shape: &Shape| matches!(shape, Shape::Fails | Shape::Breaks | Shape::Hangs);
        if let Some(shape) = numbers.iter().filter_map(shape).find(fails) {
            self.world.with(|state| state.encodes_in_vain(self.path, &numbers, shape));
            match shape {
                Shape::Hangs => std::future::pending().await,
                Shape::Breaks => return Err(WriteError::Lost(Failure::unknown(FAILED[1], ""))),
                _ => return Err(Failure::transient(FAILED[0], "").into()),
            }
        }
        let made = self.values(events, &numbers);
        let values = made.values.iter().map(|told| serde_json::to_vec(told).expect("a value of the model"));
        let payload = BinaryArray::from_iter_values(values);
        let keys = made.rows.iter().map(|rows| {
            let last = *rows.last()? as usize;
            events.key().filter(|keys| arrow_array::Array::is_valid(*keys, last)).map(|keys| keys.value(last))
        });
        let key = events.key().is_some().then(|| keys.collect::<BinaryArray>());
        let mut sources = Sources { offsets: vec![0], events: Vec::new() };
        for rows in &made.rows {
            sources.events.extend(rows);
            sources.offsets.push(sources.events.len() as u32);
        }
        let plain = made.rows.len() == events.len() && made.rows.iter().zip(0..).all(|(rows, row)| *rows == [row]);
        let refused = (!made.refused.is_empty())
            .then(|| Refusal { rows: RowSet::from_rows(made.refused.clone()), failure: Failure::halted(REFUSED, "") });
        let values = Values { payload, key, timestamps: None, headers: None };
        let sources = (!plain).then_some(sources);
        let encoded = Encoded::new(events.len(), values, sources, refused.into_iter().collect());
        // What a value tells of itself is shorter than that, beside its key.
        let bytes = made.values.len() * (events.bytes() + 120);
        self.world.with(|state| state.encoded(self.path, &numbers, &ended_before, &made, bytes));
        Ok(encoded.expect("what the model says of its values"))
    }
}

/// What a call made.
struct Made {
    values: Vec<Told>,
    rows: Vec<Vec<u32>>,
    refused: Vec<u32>,
    left_out: Vec<u32>,
}

impl Open {
    fn values(&self, events: &Batch, numbers: &[usize]) -> Made {
        let mut made = Made { values: Vec::new(), rows: Vec::new(), refused: Vec::new(), left_out: Vec::new() };
        let mut row = 0;
        while row < events.len() {
            let (mut rows, mut parts) = (vec![row as u32], 1);
            match self.encoding.shapes.get(&numbers[row]) {
                Some(Shape::Nothing) => {
                    made.left_out.push(row as u32);
                    parts = 0;
                }
                Some(Shape::Refused) => {
                    made.refused.push(row as u32);
                    parts = 0;
                }
                Some(Shape::Several(values)) => parts = *values,
                Some(Shape::Merged(more)) => {
                    rows = (row..events.len().min(row + *more as usize)).map(|row| row as u32).collect();
                }
                _ => {}
            }
            let of: Vec<usize> = rows.iter().map(|row| numbers[*row as usize]).collect();
            for part in 0..parts {
                made.values.push(Told { of: of.clone(), part, parts });
                made.rows.push(rows.clone());
            }
            row += rows.len();
        }
        made
    }
}

impl State {
    fn encodes_in_vain(&mut self, path: usize, numbers: &[usize], shape: Shape) {
        let name = self.paths[path].name.clone();
        self.note(|| format!("the encoder of {name} fails over {numbers:?}: {shape:?}"));
        self.paths[path].encoder_fruitless += 1;
    }

    fn encoded(&mut self, path: usize, numbers: &[usize], ended_before: &[u32], made: &Made, bytes: usize) {
        if self.killed {
            return;
        }
        let name = self.paths[path].name.clone();
        self.note(|| format!("the encoder of {name} makes {} values of {numbers:?}", made.values.len()));
        let bound = self.sink(path).map_or(u64::MAX, |sink| sink.settings.buffer.bound() / 2);
        let ended = self.ended(numbers);
        let path = &mut self.paths[path];
        path.encoder_fruitless = 0;
        // What is larger than its share of the memory passes alone.
        path.oversized |= bytes as u64 > bound;
        for row in &made.left_out {
            let row = *row as usize;
            let event = &mut path.events[numbers[row]];
            event.settled = true;
            event.now.left_out += 1;
            if ended[row] != ended_before[row] {
                // It was taken away meanwhile: that is how it ended, and it ends once.
                event.now.revoked = event.now.revoked.saturating_sub(1);
            }
        }
    }

    /// What is wrong with a dead letter that an encoder is said to have caused.
    pub(super) fn check_encoder_letter(&self, path: usize, event: usize, code: &str) -> Option<String> {
        let encoding = self.sink(path)?.encoding.as_ref();
        let shape = encoding.and_then(|encoding| encoding.shapes.get(&event).copied());
        let searched = self.paths[path].encoder_fruitless >= SEARCHED;
        let fits = match shape {
            Some(Shape::Refused) if code == REFUSED => true,
            Some(Shape::Fails | Shape::Breaks | Shape::Hangs) if FAILED.contains(&code) => true,
            _ => FAILED.contains(&code) && searched,
        };
        (!fits).then(|| format!("its encoder makes {shape:?} of it"))
    }
}
