//! `sump build`: from the source of a sink to its component.

use std::time::Instant;

use super::{Exit, args, environment, result, say};
use crate::project::{self, Language, Order};
use crate::units;
use crate::wasm::{Component, Host};

pub(super) fn build(args: &args::Build) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let order = Order { folder: args.folder.clone(), output: args.output.clone() };
    let (language, path) = match project::build(&order) {
        Ok(built) => built,
        Err(error) => {
            say(&format!("error: {error}\n"));
            return Ok(Exit::Usage);
        }
    };
    let took = begun.elapsed();
    // Compiled here, so that the first run finds it in the cache.
    match Host::new(environment::compiled_folder()?)?.load(&path) {
        Ok(component) => {
            let shown = path.strip_prefix(std::env::current_dir()?).unwrap_or(&path);
            result(&format!("{}\n{}", shown.display(), text(language, &component, took)))?;
            Ok(Exit::Done)
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            Ok(Exit::Usage)
        }
    }
}

fn text(language: Language, component: &Component, took: std::time::Duration) -> String {
    let described = component.description();
    let compiled = if component.is_from_cache() {
        "found in the cache".to_owned()
    } else {
        format!("{} to compile", units::duration::about(component.compile_time()))
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<14} {value}\n"));
    line("sink", format!("{} {}, in {language}", described.name, described.version));
    line("world", component.world().name().to_owned());
    line("size", units::size::about(component.size() as u64));
    line("took", format!("{} to build, {compiled}", units::duration::about(took)));
    line("imports", format!("{} interfaces: `sump inspect` lists them", component.imports().len()));
    let mut grants: Vec<&str> = component.imports().iter().filter_map(|import| import.grant).collect();
    grants.dedup();
    for (index, grant) in grants.iter().enumerate() {
        line(if index == 0 { "may be granted" } else { "" }, (*grant).to_owned());
    }
    text
}
