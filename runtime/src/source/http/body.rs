//! A body, read and decompressed within bounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::answer::Refusal;
use super::decode::{Corrupt, Decoder};

/// The most that a buffer grows by in one go, and that is decompressed before others get to run.
const STEP: usize = 1 << 20;

/// The least that it grows by.
const LEAST: usize = 64 << 10;

/// What of all bodies' bytes is one request's. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Share {
    pool: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    /// How long more is waited for.
    wait: Duration,
}

impl Share {
    /// Nothing yet.
    pub(super) fn new(pool: &Arc<Semaphore>, wait: Duration) -> Share {
        Share { pool: pool.clone(), taken: None, wait }
    }

    /// Takes more, once there is some.
    async fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = self.pool.clone().acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
        let more = match timeout(self.wait, more).await {
            Ok(Ok(more)) => more,
            Ok(Err(_)) | Err(_) => return Err(Refusal::busy(self.wait)),
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// Takes more for what is made of the body, of a pool of so many bytes.
    pub(super) async fn charge(&mut self, bytes: usize, all: usize) -> Result<(), Refusal> {
        let held = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes > all.saturating_sub(held) {
            let message = format!("the body has more events than there is room for in max_in_flight_bytes = {all}");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        self.grow(bytes).await
    }

    /// Makes room for `more` bytes in a buffer of at most `most`.
    async fn reserve(&mut self, buffer: &mut Vec<u8>, more: usize, most: usize) -> Result<(), Refusal> {
        let (capacity, needed) = (buffer.capacity(), buffer.len() + more);
        if needed > capacity {
            let target = needed.max((capacity + capacity.clamp(LEAST, STEP)).min(most));
            self.grow(target - capacity).await?;
            buffer.reserve_exact(target - buffer.len());
        }
        Ok(())
    }
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read<B>(body: &mut B, most: usize, share: &mut Share) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let said = body.size_hint().upper().unwrap_or(u64::MAX);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let bound = usize::try_from(said).unwrap_or(usize::MAX).min(most);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))?;
        // Trailers are of no use.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - bytes.len() {
            return Err(too_large(most));
        }
        share.reserve(&mut bytes, data.len(), bound).await?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Decompresses a body into at most `most` bytes.
pub(super) async fn decompress(
    mut decoder: Decoder,
    compressed: &[u8],
    most: usize,
    share: &mut Share,
) -> Result<Vec<u8>, Refusal> {
    let (mut at, mut bytes) = (0, Vec::new());
    loop {
        if bytes.len() == bytes.capacity() {
            // One byte beyond the bound shows that there are more.
            share.reserve(&mut bytes, 1, most + 1).await?;
        }
        let done = decoder.step(compressed, &mut at, &mut bytes).map_err(|Corrupt(message)| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body can't be decompressed: {message}"))
        })?;
        if bytes.len() > most {
            return Err(too_large(most));
        }
        if done {
            return Ok(bytes);
        }
        yield_now().await;
    }
}

/// Reads what is left of a small body, so that its sender gets to read the answer.
pub(super) async fn discard<B: Body<Data = Bytes> + Unpin>(body: &mut B, most: usize, within: Duration) {
    let all = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > most {
                break;
            }
        }
    };
    // Whether all came does not matter.
    drop(timeout(within, all).await);
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than max_body_bytes = {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn share(bytes: usize) -> (Arc<Semaphore>, Share) {
        let pool = Arc::new(Semaphore::new(bytes));
        let share = Share::new(&pool, Duration::from_secs(1));
        (pool, share)
    }

    fn chunks(sizes: &[usize]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_takes_its_bytes_from_the_pool_until_it_is_dropped() {
        for sizes in [&[10][..], &[1000; 100], &[100_000, 1, 2_000_000]] {
            let (pool, mut share) = share(16 << 20);
            let bytes = read(&mut chunks(sizes), 8 << 20, &mut share).await.unwrap();
            assert_eq!(bytes.len(), sizes.iter().sum::<usize>());
            assert_eq!(pool.available_permits() + bytes.capacity(), 16 << 20);
            drop(share);
            assert_eq!(pool.available_permits(), 16 << 20);
        }
    }

    #[tokio::test]
    async fn a_body_that_says_its_length_gets_no_more_room() {
        let (_, mut share) = share(1 << 20);
        let bytes = read(&mut Full::new(Bytes::from_static(b"hello")), 1 << 20, &mut share).await.unwrap();
        assert_eq!((bytes.len(), bytes.capacity()), (5, 5));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_as_soon_as_that_is_known() {
        let (_, mut share) = share(1 << 20);
        for sizes in [&[1001][..], &[500, 501]] {
            let refused = read(&mut chunks(sizes), 1000, &mut share).await.unwrap_err();
            assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        }
        assert_eq!(read(&mut chunks(&[500, 500]), 1000, &mut share).await.unwrap().len(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_room_a_body_waits_and_is_refused() {
        let (pool, mut share) = share(64 << 10);
        let all = pool.clone().acquire_many_owned(64 << 10).await.unwrap();
        let refused = read(&mut chunks(&[10]), 1000, &mut share).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        let later = async {
            yield_now().await;
            drop(all);
        };
        let mut body = chunks(&[10]);
        let (read, ()) = tokio::join!(read(&mut body, 1000, &mut share), later);
        assert_eq!(read.unwrap().len(), 10);
    }
}
