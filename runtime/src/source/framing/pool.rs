//! Read buffers that are used again once nobody holds the events in them any more.
//!
//! A fresh buffer of this size costs more than cutting it into lines: the system has to map and clear its pages.

use std::collections::VecDeque;

use arrow_buffer::Buffer;

/// Buffers that are remembered: as many as are on their way where a sink is slower than its source, and its queue, of
/// 64 MiB unless it was set, is full of them.
const KEPT: usize = 64;

/// Gives out buffers, and remembers those that became columns.
#[derive(Debug)]
pub(in crate::source) struct Pool {
    size: usize,
    /// Those that became columns, oldest first.
    columns: VecDeque<Buffer>,
    spare: Option<Vec<u8>>,
}

impl Pool {
    /// Buffers of `size` bytes.
    pub(in crate::source) fn new(size: usize) -> Pool {
        Pool { size, columns: VecDeque::with_capacity(KEPT), spare: None }
    }

    /// An empty buffer with room for `least` bytes and for the size of a read.
    pub(in crate::source) fn buffer(&mut self, least: usize) -> Vec<u8> {
        let least = least.max(self.size);
        if let Some(spare) = self.spare.take_if(|spare| spare.capacity() >= least) {
            return spare;
        }
        let free = self.columns.iter().rposition(|column| column.strong_count() == 1 && column.capacity() >= least);
        let reused = free.and_then(|free| self.columns.remove(free)).and_then(|column| column.into_vec::<u8>().ok());
        let mut buffer = reused.unwrap_or_else(|| Vec::with_capacity(least));
        buffer.clear();
        buffer
    }

    /// Makes a buffer a column: itself, or a copy where it is mostly empty and would keep more alive than it shows.
    pub(in crate::source) fn column(&mut self, bytes: Vec<u8>) -> Buffer {
        if bytes.len() < bytes.capacity() / 2 {
            let copy = Buffer::from(&*bytes);
            self.give_back(bytes);
            return copy;
        }
        let column = Buffer::from_vec(bytes);
        // One that was grown for a long line is not worth keeping.
        if column.capacity() <= 2 * self.size {
            if self.columns.len() == KEPT {
                self.columns.pop_front();
            }
            self.columns.push_back(column.clone());
        }
        column
    }

    /// Takes back a buffer that did not become a column.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if (self.size..=2 * self.size).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare = Some(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(pool: &mut Pool) -> Vec<u8> {
        let mut buffer = pool.buffer(0);
        buffer.resize(buffer.capacity(), b'x');
        buffer
    }

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_holds_its_bytes() {
        let mut pool = Pool::new(100);
        let buffer = full(&mut pool);
        let (at, column) = (buffer.as_ptr(), pool.column(buffer));
        let slice = column.slice(10);
        drop(column);
        let other = full(&mut pool);
        assert_ne!(other.as_ptr(), at);
        drop(slice);
        let again = pool.buffer(0);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }

    #[test]
    fn a_mostly_empty_buffer_is_copied_and_comes_back() {
        let mut pool = Pool::new(100);
        let mut buffer = pool.buffer(0);
        buffer.push(b'x');
        let at = buffer.as_ptr();
        let column = pool.column(buffer);
        assert_ne!(column.as_ptr(), at);
        let again = pool.buffer(0);
        assert_eq!(again.as_ptr(), at);
        assert_eq!(&*column, b"x");
    }

    #[test]
    fn few_are_kept_and_none_that_grew() {
        let mut pool = Pool::new(100);
        for _ in 0..3 * KEPT {
            let buffer = full(&mut pool);
            std::mem::forget(pool.column(buffer));
        }
        assert_eq!(pool.columns.len(), KEPT);
        let mut large = Pool::new(100);
        let column = large.column(vec![b'x'; 1000]);
        large.give_back(Vec::with_capacity(1000));
        assert!(large.columns.is_empty() && large.spare.is_none() && column.len() == 1000);
        assert!(large.buffer(500).capacity() >= 500);
    }
}
