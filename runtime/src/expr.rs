//! Conditions and templates over a batch.
//!
//! A condition is CEL over the variables of an event; `docs/conditions.md` says what they are and how values compare.

#[cfg(test)]
mod agreement;
mod bind;
mod compile;
mod condition;
mod interpret;
mod items;
mod json;
mod plan;
mod row;
mod syntax;
mod template;
mod value;

#[cfg(test)]
mod tests;

pub use condition::{Condition, Verdicts};
pub use items::elements;
pub use syntax::SyntaxError;
pub use template::{Missing, Template};
