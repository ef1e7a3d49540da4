//! What is wrong between parts that are right by themselves.

use std::path::{Component, Path, PathBuf};

use crate::config::check::FoundSource;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Table;
use crate::config::place::Place;
use crate::config::plan::{Pipeline, SinkKind, Source, SourceKind, place_of, table_at};

/// Reports it.
pub(super) fn check(
    root: &Table,
    sources: &[FoundSource],
    pipelines: &[Option<Pipeline>],
    problems: &mut Vec<Diagnostic>,
) {
    let known: Vec<&Source> = sources.iter().filter_map(|found| found.source.as_ref()).collect();
    two_readers_of_standard_input(root, &known, problems);
    // A pipeline that is wrong might be the one that reads the source.
    if let Some(pipelines) = pipelines.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
        sources_that_no_one_reads(root, sources, &pipelines, problems);
    }
    let writers: Vec<Writer> = pipelines.iter().flatten().flat_map(|pipeline| writers(root, pipeline)).collect();
    two_writers_of_a_file(&writers, problems);
    loops(root, &known, &writers, problems);
}

fn two_readers_of_standard_input(root: &Table, sources: &[&Source], problems: &mut Vec<Diagnostic>) {
    let mut readers = sources.iter().filter(|source| matches!(source.kind, SourceKind::Stdin(_)));
    let Some(first) = readers.next() else { return };
    for source in readers {
        let mut error = Diagnostic::error("config::conflict", "two sources read standard input");
        error = at(error, root, &["source", &source.name, "type"], "it would get some of the events");
        error = at(error, root, &["source", &first.name, "type"], "and this one the others");
        problems.push(error.help("let several pipelines name the same source: each gets all of its events"));
    }
}

fn sources_that_no_one_reads(
    root: &Table,
    sources: &[FoundSource],
    pipelines: &[&Pipeline],
    problems: &mut Vec<Diagnostic>,
) {
    for FoundSource { name, .. } in sources {
        if pipelines.iter().all(|pipeline| pipeline.source != *name) {
            let warning = Diagnostic::warning("config::unused", format!("source `{name}` is not read"));
            let warning = at(warning, root, &["source", name], "no pipeline names it");
            problems.push(warning.help(format!("add `source = \"{name}\"` to a pipeline, or remove it")));
        }
    }
}

/// A sink that writes a file.
struct Writer<'a> {
    pipeline: &'a Pipeline,
    path: &'a str,
    plain: PathBuf,
    place: Option<Place>,
}

fn writers<'a>(root: &Table, pipeline: &'a Pipeline) -> Vec<Writer<'a>> {
    let mut writers = Vec::new();
    for sink in &pipeline.sinks {
        if let SinkKind::File(settings) = &sink.kind {
            let path = settings.path.as_str();
            let place = place_of(root, &["pipeline", &pipeline.name, "sink", &sink.name, "path"]);
            writers.push(Writer { pipeline, path, plain: plain(path), place });
        }
    }
    writers
}

/// Without `.`, doubled separators, and `..` where what it leaves is named.
fn plain(path: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn two_writers_of_a_file(writers: &[Writer], problems: &mut Vec<Diagnostic>) {
    for (index, writer) in writers.iter().enumerate() {
        let Some(first) = writers[..index].iter().find(|first| first.plain == writer.plain) else { continue };
        let mut error = Diagnostic::error("config::conflict", "two sinks write the same file");
        for (place, label) in [(&writer.place, "written by this sink"), (&first.place, "and by this one")] {
            if let Some(place) = place {
                error = error.at(place.clone(), label);
            }
        }
        problems.push(error.help("give each its own path: lines of two writers would be mixed"));
    }
}

/// A pipeline that writes what it reads never ends.
fn loops(root: &Table, sources: &[&Source], writers: &[Writer], problems: &mut Vec<Diagnostic>) {
    for writer in writers {
        let Some(source) = sources.iter().find(|source| source.name == writer.pipeline.source) else { continue };
        let SourceKind::File(settings) = &source.kind else { continue };
        let reads_it = settings.path.iter().any(|written| {
            glob::Pattern::new(&plain(written).to_string_lossy()).is_ok_and(|glob| {
                let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
                glob.matches_path_with(&writer.plain, options)
            })
        });
        if reads_it {
            let mut error = Diagnostic::error("config::conflict", "the pipeline reads what it writes, without end");
            if let Some(place) = &writer.place {
                error = error.at(place.clone(), "written here");
            }
            error = at(error, root, &["source", &source.name, "path"], "and read again here");
            problems.push(error.help(format!("write elsewhere than `{}`, or narrow the glob", shown(writer))));
        }
    }
}

/// The path as it was written, which may have been a reference.
fn shown<'a>(writer: &'a Writer) -> &'a str {
    writer.place.as_ref().map_or(writer.path, |place| place.excerpt().trim_matches(['"', '\'']))
}

fn at(diagnostic: Diagnostic, root: &Table, path: &[&str], label: &str) -> Diagnostic {
    let header =
        || table_at(root, &path[..path.len() - 1]).and_then(|table| Some(table.entry(path.last()?)?.at.clone()));
    match place_of(root, path).or_else(header) {
        Some(place) => diagnostic.at(place, label),
        None => diagnostic,
    }
}
