//! Projects of sinks, as their authors work with them: which language one is in, the tools it takes, and how it becomes
//! a component.
//!
//! Nothing here runs a component; the room does not know what one does.

mod build;
mod c;
mod component;
mod go;
mod language;
mod python;
mod toolchain;

pub use build::{BuildError, Order, build};
pub use component::EncodeError;
pub use language::{Language, Unrecognised};
pub use toolchain::{Tool, ToolError};
