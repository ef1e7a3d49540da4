//! Projects of sinks, as their authors work with them: what they begin with, which language one is in, the tools it takes, and how it
//! becomes a component.
//!
//! Nothing here runs a component; the room does not know what one does.

mod build;
mod c;
mod component;
mod create;
mod go;
mod language;
mod python;
mod template;
mod toolchain;
mod typescript;

pub use build::{BuildError, Order, build};
pub use component::EncodeError;
pub use create::{NewError, NewProject, new_project};
pub use language::{Language, Unrecognised};
pub use template::Shape;
pub use toolchain::{Tool, ToolError};
