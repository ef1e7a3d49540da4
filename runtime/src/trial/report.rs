//! All trials of a component, one after the other, and how each ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bless::Blessing;
use super::case::{CaseFile, Setup};
use super::conformance::{self, REQUIREMENTS};
use super::difference::{differences, oddities};
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
    /// What is expected was written anew.
    pub blessed: bool,
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

    /// The events of its first case.
    pub fn first_events(&self) -> &[Given] {
        self.file.cases.first().map_or(&[], |case| &case.events)
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
        self.each_case(cases, None, ended)
    }

    /// The same, and what happens is what is expected from now on: the file's new text.
    pub fn bless(&self, cases: &Cases, ended: &mut dyn FnMut(&Verdict)) -> (Suite, String) {
        let mut blessing = Blessing::begin(cases.text.contents());
        let suite = self.each_case(cases, blessing.as_mut(), ended);
        (suite, blessing.map_or_else(|| cases.text.contents().to_owned(), Blessing::finish))
    }

    fn each_case(&self, cases: &Cases, mut blessing: Option<&mut Blessing>, ended: &mut dyn FnMut(&Verdict)) -> Suite {
        let mut verdicts = Vec::new();
        let all = cases.file.cases.iter().zip(&cases.places).enumerate();
        for (index, (case, place)) in all.filter(|(_, (case, _))| self.is_meant(&case.name)) {
            let begun = Instant::now();
            let (mut problems, mut heard, mut blessed) = (Vec::new(), Vec::new(), false);
            match carry_out(self.component, &cases.file.setup, case) {
                Ok(happened) => {
                    problems = match &case.expect {
                        Some(expect) => differences(expect, &happened),
                        None => {
                            vec!["it says nothing of what is expected: add `expect`, or let `--bless` do it".to_owned()]
                        }
                    };
                    if let Some(blessing) = blessing.as_deref_mut().filter(|_| !problems.is_empty()) {
                        blessed = blessing.bless(index, case, &happened);
                        if blessed {
                            problems = oddities(&happened);
                        }
                    }
                    heard = [happened.printed, happened.warned].concat();
                }
                Err(problem) => problems.push(problem),
            }
            let (name, place) = (case.name.clone(), Some(place.clone()));
            let verdict = Verdict { name, place, problems, heard, blessed, took: begun.elapsed() };
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
            let (name, took) = (requirement.name.to_owned(), begun.elapsed());
            let verdict = Verdict { name, place: None, problems, heard, blessed: false, took };
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
