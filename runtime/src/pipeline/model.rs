//! A model of the whole path, held against the real one under any schedule.
//!
//! A schedule is drawn from one number, its seed: the events and how the source hands them over, pipelines and their
//! settings, what each sink does with each event, when the run is stopped or killed, and how often it is started anew.
//! The path runs as in the program, under paused time, from a scripted source to scripted sinks; only files are not
//! there. The [`world`](world) outside of it remembers what sinks have and what was promised, and holds every call,
//! dead letter, acknowledgement and saved position against the invariants. `ARCHITECTURE.md` lists them.
//!
//! - `SUMP_SEED=…` runs one schedule and prints its story.
//! - `SUMP_SCHEDULES=…` is how many schedules a test run tries.
//! - `SUMP_SOAK=…` is for how many minutes it goes on after that.

mod calls;
mod defects;
mod draw;
mod encoder;
mod gate;
mod instances;
mod letters;
mod line;
mod once;
mod order;
mod rate;
mod revoked;
mod run;
mod schedule;
mod shrink;
mod sink;
mod source;
mod tests;
mod verify;
mod world;
