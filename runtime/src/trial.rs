//! Components on trial: called with events that their authors write down, or that every component has to bear, and
//! held to what they answer.
//!
//! A trial runs on the engine and under the limits of production. What a component is granted leads to endpoints that
//! answer in this process, and to folders of the trial's own; time is the trial's, and goes on only while everybody waits.

mod answer;
mod bed;
mod bless;
mod case;
mod chart;
mod conformance;
mod content;
mod delivered;
mod difference;
mod event;
mod happened;
mod heard;
mod junit;
mod measure;
mod report;
mod script;
mod talk;
mod word;

pub use case::{Folder, Grants, Setup};
pub use chart::chart;
pub use conformance::{REQUIREMENTS, Requirement};
pub use event::Given;
pub use junit::junit;
pub use measure::{Bench, Figures, Measured};
pub use report::{Cases, Suite, Trial, Verdict};
