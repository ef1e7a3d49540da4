//! The `sump` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sump::cli::main()
}
