//! `sump new`: a project that builds, passes its tests and runs.

use std::path::{Path, PathBuf};

use super::{Exit, args, result, say};
use crate::project::{self, Language, NewProject, Shape};

pub(super) fn new(args: &args::New) -> anyhow::Result<Exit> {
    let Some(sdk) = args.sdk.clone().or_else(|| sdk(args.lang)) else {
        say("error: the SDKs are not published yet: `--sdk` names the folder `guest-sdk` of Sump's source\n");
        return Ok(Exit::Usage);
    };
    let shape = match (args.is_async, args.encoder) {
        (true, _) => Shape::AsyncSink,
        (_, true) => Shape::Encoder,
        _ => Shape::Sink,
    };
    let order = NewProject { name: args.name.clone(), parent: PathBuf::from("."), language: args.lang, shape, sdk };
    match project::new_project(&order) {
        Ok(_) => {
            result(&format!("{0}\n  cd {0}: its README.md has the commands that test, build and run it\n", args.name))?;
            Ok(Exit::Done)
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            Ok(Exit::Usage)
        }
    }
}

/// The SDKs in the clone that this program was built in.
fn sdk(language: Language) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = program.ancestors().map(|folder| folder.join("guest-sdk"));
    folders.into_iter().find(|folder: &PathBuf| has(folder, language))
}

fn has(folder: &Path, language: Language) -> bool {
    Language::of(&folder.join(language.name())).is_ok_and(|found| found == language)
}
