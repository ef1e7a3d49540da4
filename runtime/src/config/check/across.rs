//! What is wrong between parts that are right by themselves.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use crate::config::check::{FoundSource, exactly_once};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Table;
use crate::config::place::Place;
use crate::config::plan::{Pipeline, Settings, SinkKind, Source, SourceKind, place_of, table_at};
use crate::config::suggest;
use crate::sink::file::PathTemplate;
use crate::units;

/// Reports it.
pub(super) fn check(
    root: &Table,
    settings: Option<&Settings>,
    sources: &[FoundSource],
    pipelines: &[Option<Pipeline>],
    problems: &mut Vec<Diagnostic>,
) {
    let known: Vec<&Source> = sources.iter().filter_map(|found| found.source.as_ref()).collect();
    two_readers_of_standard_input(root, &known, problems);
    let admin = settings.and_then(|settings| settings.admin);
    two_servers_at_an_address(root, admin, &known, problems);
    bodies_that_find_no_room(root, &known, problems);
    // A pipeline that is wrong might be the one that reads the source.
    if let Some(pipelines) = pipelines.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
        sources_that_no_one_reads(root, sources, &pipelines, problems);
    }
    let pipelines: Vec<&Pipeline> = pipelines.iter().flatten().collect();
    for pipeline in &pipelines {
        sink_of_dead_letters(root, pipeline, problems);
    }
    exactly_once::check(root, settings, &pipelines, &known, problems);
    let writers: Vec<Writer> = pipelines.iter().flat_map(|pipeline| writers(root, pipeline)).collect();
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

fn two_servers_at_an_address(
    root: &Table,
    admin: Option<SocketAddr>,
    sources: &[&Source],
    problems: &mut Vec<Diagnostic>,
) {
    let servers: Vec<(&Source, SocketAddr)> = sources
        .iter()
        .filter_map(|source| match &source.kind {
            SourceKind::Http(settings) => Some((*source, settings.listen)),
            _ => None,
        })
        .collect();
    let meet = |a: &SocketAddr, b: &SocketAddr| {
        let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
        a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || everywhere)
    };
    for (index, (source, address)) in servers.iter().enumerate() {
        if admin.is_some_and(|admin| meet(&admin, address)) {
            let error = Diagnostic::error("config::conflict", "a source listens at the address of `admin`");
            let error = at(error, root, &["source", &source.name, "listen"], "metrics are served there");
            problems.push(error.help("give each its own port"));
        }
        let Some((first, _)) = servers[..index].iter().find(|(_, first)| meet(first, address)) else { continue };
        let mut error = Diagnostic::error("config::conflict", "two sources listen at the same address");
        error = at(error, root, &["source", &source.name, "listen"], "somebody listens there already");
        error = at(error, root, &["source", &first.name, "listen"], "this source does");
        problems.push(error.help("give each its own port, or let several pipelines name the same source"));
    }
}

fn bodies_that_find_no_room(root: &Table, sources: &[&Source], problems: &mut Vec<Diagnostic>) {
    for source in sources {
        let SourceKind::Http(settings) = &source.kind else { continue };
        let least = settings.max_body_bytes.saturating_mul(2);
        if settings.max_in_flight_bytes < least {
            let message = "`max_in_flight_bytes` is less than twice `max_body_bytes`";
            let path = |key| ["source", source.name.as_str(), key];
            let written =
                table_at(root, &["source", &source.name]).is_some_and(|own| own.get("max_in_flight_bytes").is_some());
            let key = if written { "max_in_flight_bytes" } else { "max_body_bytes" };
            let error = at(Diagnostic::error("config::range", message), root, &path(key), "out of range");
            let help = "a compressed body is held twice: set `max_in_flight_bytes` to at least";
            problems.push(error.help(format!("{help} `{}`", units::size::print(least))));
        }
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

/// The sink that gets a pipeline's dead letters is there, and is for nothing else.
fn sink_of_dead_letters(root: &Table, pipeline: &Pipeline, problems: &mut Vec<Diagnostic>) {
    let Some(to) = &pipeline.routing.dead_letters else { return };
    let (path, names) = (
        ["pipeline", &pipeline.name, "dead_letters", "sink"],
        pipeline.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(),
    );
    let Some(sink) = pipeline.sinks.iter().find(|sink| sink.name == to.sink) else {
        let message = format!("pipeline `{}` has no sink `{}`", pipeline.name, to.sink);
        let error = at(Diagnostic::error("config::unknown_sink", message), root, &path, "not among its sinks");
        problems.push(error.help(suggest::remedy(&to.sink, &names, "its sinks are")));
        return;
    };
    if names.len() == 1 {
        let message = format!("pipeline `{}` has no sink but the one for its dead letters", pipeline.name);
        let error = at(Diagnostic::error("config::conflict", message), root, &path, "this sink gets no routed events");
        let help = format!("add another sink, `[pipeline.{}.sink.NAME]`, or remove `dead_letters`", pipeline.name);
        problems.push(error.help(help));
    }
    if sink.when.is_some() {
        let message = format!("sink `{}` gets dead letters, which no condition routes", sink.name);
        let error = Diagnostic::error("config::conflict", message);
        let error = at(error, root, &["pipeline", &pipeline.name, "sink", &sink.name, "when"], "asked of no event");
        problems.push(at(error, root, &path, "made the sink for dead letters here").help("remove `when`"));
    }
}

/// A sink that writes a file.
struct Writer<'a> {
    pipeline: &'a Pipeline,
    path: &'a PathTemplate,
    /// The one file that it writes, where no event has a say.
    file: Option<PathBuf>,
    place: Option<Place>,
}

impl Writer<'_> {
    fn shares_a_file(&self, other: &Writer) -> bool {
        self.path == other.path || (self.file.is_some() && self.file == other.file)
    }
}

fn writers<'a>(root: &Table, pipeline: &'a Pipeline) -> Vec<Writer<'a>> {
    let mut writers = Vec::new();
    for sink in &pipeline.sinks {
        if let SinkKind::File(settings) = &sink.kind {
            let place = place_of(root, &["pipeline", &pipeline.name, "sink", &sink.name, "path"]);
            let file = settings.path.constant().map(plain);
            writers.push(Writer { pipeline, path: &settings.path, file, place });
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
        let Some(first) = writers[..index].iter().find(|first| first.shares_a_file(writer)) else { continue };
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
        let (SourceKind::File(settings), Some(file)) = (&source.kind, &writer.file) else { continue };
        let reads_it = settings.path.iter().any(|written| {
            glob::Pattern::new(&plain(written).to_string_lossy()).is_ok_and(|glob| {
                let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
                glob.matches_path_with(file, options)
            })
        });
        if reads_it {
            let mut error = Diagnostic::error("config::conflict", "the pipeline reads what it writes, without end");
            if let Some(place) = &writer.place {
                error = error.at(place.clone(), "written here");
            }
            error = at(error, root, &["source", &source.name, "path"], "and read again here");
            problems.push(error.help("write elsewhere, or narrow the glob"));
        }
    }
}

pub(super) fn at(diagnostic: Diagnostic, root: &Table, path: &[&str], label: &str) -> Diagnostic {
    let header =
        || table_at(root, &path[..path.len() - 1]).and_then(|table| Some(table.entry(path.last()?)?.at.clone()));
    match place_of(root, path).or_else(header) {
        Some(place) => diagnostic.at(place, label),
        None => diagnostic,
    }
}
