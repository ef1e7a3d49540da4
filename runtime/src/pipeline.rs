//! The only room that names every concrete part: builds them from a plan, runs them, drains them.
//!
//! For each source there is one task, the feed: it reads blocks, routes them to the sinks of every pipeline that reads
//! the source, acknowledges, and saves positions. For each sink there is one more, its delivery, which the feed owns.

mod build;
mod components;
mod data_dir;
mod feed;
mod groups;
mod guarantee;
mod keys;
mod overview;
mod positions;
mod replay;
mod route;
mod run;

pub use build::{BuildError, Host, build, check};
pub use data_dir::{DataDir, DataDirError};
pub use feed::FeedError;
pub use guarantee::{Claim, Duplicates, Durability, Guarantee, Letters, Loss, Order, Reason};
pub use overview::{Overview, SinkView, SourceView};
pub use replay::{Outlook, Replay, ReplayError, Request};
pub use run::{Ended, Pipelines, Signals};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
