//! `sump check`: everything short of connecting.

use super::args::{self, CheckFormat};
use super::{Exit, environment, guarantees, result, say_problems};
use crate::config;
use crate::pipeline;

pub(super) fn check(args: &args::Check) -> anyhow::Result<Exit> {
    let (plan, warnings) = match config::load(&args.files, &environment::variable) {
        Ok(checked) => checked,
        Err(problems) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
    };
    say_problems(&warnings);
    let host = pipeline::Host {
        data_dir: std::path::PathBuf::new(),
        cache_dir: environment::compiled_folder()?,
        run: String::new(),
        colour: false,
        from_start: false,
        reopen: Default::default(),
        environment: &environment::variable,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let guarantees = match runtime.block_on(pipeline::check(&plan, &host)) {
        Ok(guarantees) => guarantees,
        Err(problems) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
    };
    match args.format {
        CheckFormat::Text => result(&(config::print(&plan) + &guarantees::text(&guarantees)))?,
        CheckFormat::Json => result(&(serde_json::to_string_pretty(&guarantees)? + "\n"))?,
    }
    Ok(Exit::Done)
}
