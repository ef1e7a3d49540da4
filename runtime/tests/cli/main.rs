//! The program as people run it: files and arguments in, files, output and exit codes out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is shared between tests may fail like a test")]

#[path = "../support/guest.rs"]
mod guest;

mod admin;
mod alerts;
mod bad;
mod bench;
mod buffer;
mod console;
mod crash;
mod csv;
mod databases;
mod encode;
mod endpoint;
mod faults;
mod file_sink;
mod files;
mod follow;
mod framing;
mod guarantees;
mod http;
mod http_source;
mod ini;
mod large;
mod letters;
mod new;
mod nginx;
mod openmetrics;
mod proxy;
mod replay;
mod routes;
mod sandbox;
mod server;
mod stop;
mod sump;
mod trial;
