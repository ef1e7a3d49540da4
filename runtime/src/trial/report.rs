//! All trials of a component, one after the other, and how each ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{CaseFile, Setup};
use super::conformance::{self, REQUIREMENTS};
use super::difference::differences;
use super::event::Given;
use super::happened::carry_out;
use crate::config::{Diagnostic, Place, Text, places_of, read_toml};
use crate::wasm::Component;

/// Trials that belong together.
#[derive(Debug)]
pub struct Suite {
    /// The file of the cases, or what is tried.
    pub name: String,
    /// One for each that was tried, in order.
    pub verdicts: Vec<Verdict>,
}

/// How one trial ended.
#[derive(Debug)]
pub struct Verdict {
    /// What was tried.
    pub name: String,
    /// Where it is written down.
    pub place: Option<Place>,
    /// What is wrong. Nothing: it passed.
    pub problems: Vec<String>,
    /// What the component printed, and what the runtime said of it.
    pub heard: Vec<String>,
    /// How long it took, by the clock on the wall.
    pub took: Duration,
}

impl Verdict {
    /// Whether everything was as it has to be.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A file of cases, read.
pub struct Cases {
    text: Arc<Text>,
    file: CaseFile,
    places: Vec<Place>,
}

impl Cases {
    /// Reads a file. Every mistake is told.
    pub fn read(text: Arc<Text>) -> Result<Cases, Vec<Diagnostic>> {
        let file: CaseFile = read_toml(&text, "a file of cases")?;
        let places = places_of(&text, "case");
        Ok(Cases { text, file, places })
    }

    /// The file's path.
    pub fn name(&self) -> &str {
        self.text.name()
    }

    /// What its cases have in common.
    pub fn setup(&self) -> &Setup {
        &self.file.setup
    }
}

/// Tries a component.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// What is tried.
    pub component: &'a Component,
    /// Only trials with this in their names.
    pub only: Option<&'a str>,
}

impl Trial<'_> {
    /// The cases of a file. `ended` hears of each as soon as it is over.
    pub fn cases(&self, cases: &Cases, ended: &mut dyn FnMut(&Verdict)) -> Suite {
        let mut verdicts = Vec::new();
        for (case, place) in cases.file.cases.iter().zip(&cases.places).filter(|(case, _)| self.is_meant(&case.name)) {
            let begun = Instant::now();
            let (problems, heard) = match carry_out(self.component, &cases.file.setup, case) {
                Ok(happened) => {
                    let problems = match &case.expect {
                        Some(expect) => differences(expect, &happened),
                        None => vec!["it says nothing of what is expected: add `expect`".to_owned()],
                    };
                    (problems, [happened.printed, happened.warned].concat())
                }
                Err(problem) => (vec![problem], Vec::new()),
            };
            let verdict =
                Verdict { name: case.name.clone(), place: Some(place.clone()), problems, heard, took: begun.elapsed() };
            ended(&verdict);
            verdicts.push(verdict);
        }
        Suite { name: cases.name().to_owned(), verdicts }
    }

    /// What every component has to bear, set up like this, with the events of `cases`. Where the first does not hold, the
    /// others are not tried.
    pub fn conformance(&self, setup: &Setup, cases: Option<&Cases>, ended: &mut dyn FnMut(&Verdict)) -> Suite {
        let samples: Vec<Given> =
            cases.iter().flat_map(|cases| &cases.file.cases).flat_map(|case| case.events.clone()).collect();
        let mut verdicts = Vec::new();
        for requirement in REQUIREMENTS.iter().filter(|requirement| self.is_meant(requirement.name)) {
            let begun = Instant::now();
            let held = conformance::hold(requirement, self.component, setup, &samples);
            let (problems, heard) = match held {
                Ok(()) => (Vec::new(), Vec::new()),
                Err((problem, heard)) => (vec![problem], heard),
            };
            let verdict =
                Verdict { name: requirement.name.to_owned(), place: None, problems, heard, took: begun.elapsed() };
            ended(&verdict);
            let goes_on = verdict.passed() || !verdicts.is_empty();
            verdicts.push(verdict);
            if !goes_on {
                break;
            }
        }
        let name = cases.map_or("conformance".to_owned(), |cases| format!("conformance, set up as {}", cases.name()));
        Suite { name, verdicts }
    }

    fn is_meant(&self, name: &str) -> bool {
        self.only.is_none_or(|only| name.contains(only))
    }
}
