//! What machines see of a run: metrics in OpenMetrics, whether it is ready, and whether it lives, over HTTP.
//!
//! It reads what everybody else counts, when it is asked, and changes nothing. Whoever can connect can read all of it.

mod exposition;
mod families;
mod process;
mod ready;
mod server;

pub use server::{BindError, Listener, Server};
