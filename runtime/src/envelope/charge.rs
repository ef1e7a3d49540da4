//! Memory that events hold, from routing until they are final.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest budget: what a semaphore takes in one reservation.
const MOST: u64 = u32::MAX as u64;

/// A bound on the bytes of events that are on their way to one sink.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    bytes: u32,
}

impl Budget {
    /// A budget of so many bytes, between 1 and 4 GiB.
    pub fn new(bytes: u64) -> Budget {
        let bytes = bytes.clamp(1, MOST) as u32;
        Budget { free: Arc::new(Semaphore::new(bytes as usize)), bytes }
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget waits for all of it, and passes alone.
    pub async fn reserve(&self, bytes: usize) -> Charge {
        // The semaphore is never closed: the error can not arise, and would only leave the charge empty.
        Charge { permit: self.free.clone().acquire_many_owned(self.clamped(bytes)).await.ok() }
    }

    /// Takes `bytes` if they are free.
    pub fn try_reserve(&self, bytes: usize) -> Option<Charge> {
        self.free.clone().try_acquire_many_owned(self.clamped(bytes)).ok().map(|permit| Charge { permit: Some(permit) })
    }

    /// Bytes that are taken.
    pub fn used(&self) -> u64 {
        u64::from(self.bytes) - self.free.available_permits() as u64
    }

    fn clamped(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes)
    }
}

/// Bytes taken from a budget; dropping it gives them back.
#[derive(Debug, Default)]
pub struct Charge {
    permit: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Splits off up to `bytes` of it.
    pub fn split(&mut self, bytes: usize) -> Charge {
        let most = self.bytes().min(bytes);
        Charge { permit: self.permit.as_mut().and_then(|permit| permit.split(most)) }
    }

    /// Adds another charge of the same budget. One of another budget stays its own, and is given back at once.
    pub fn merge(&mut self, other: Charge) {
        match (&mut self.permit, other.permit) {
            (Some(mine), Some(other)) if Arc::ptr_eq(mine.semaphore(), other.semaphore()) => mine.merge(other),
            (Some(_), _) => {}
            (none, other) => *none = other,
        }
    }
}
