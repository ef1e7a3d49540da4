//! The program as people run it: files and arguments in, files, output and exit codes out.

#[path = "../support/guest.rs"]
mod guest;

mod alerts;
mod bad;
mod console;
mod crash;
mod csv;
mod endpoint;
mod faults;
mod files;
mod ini;
mod large;
mod routes;
mod sandbox;
mod stop;
mod sump;
