//! A batch on its way, with the duty to account for each of its events.
//!
//! A source hands over a [`Block`]. For each sink that is to have events of it, a [`Path`] takes them: it numbers them
//! and gives out an [`Envelope`], whose [`Receipt`] must be settled for every event, at once or in parts. A receipt that
//! is dropped is an assignment abandoned, never an event delivered. What is settled moves the path's position, and
//! the lowest position of all paths is what the source may acknowledge.

mod block;
mod charge;
mod collection;
mod groups;
mod ledger;
mod letter;
mod made;
mod progress;
mod receipt;

pub use block::{Block, Rejects};
pub use charge::{Budget, Charge};
pub use collection::{Collection, Deal};
pub use groups::Groups;
pub use ledger::{Ledger, Path, PathName, Positions};
pub use letter::Envelope;
pub use receipt::{Final, Flight, Receipt};

#[cfg(test)]
mod tests;
