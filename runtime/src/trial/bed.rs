//! A component where it is tried: what surrounds it, and the calls into it.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, timeout, timeout_at};

use super::case::{Grants, Setup};
use super::content::Content;
use super::word::Word;
use crate::batch::Batch;
use crate::sink::encode::Values;
use crate::sink::{Connect, Encode, Encoded, Encoder, Failure, Outcome, Refusal, Sink, Turn, WriteContext, WriteError};
use crate::units;
use crate::wasm::{
    Allow, AllowDir, Component, Connector, Description, EncoderSettings, Endpoint, Settings, Stage, Usage, WasmEncoder,
    World,
};

/// What pipelines and sinks of trials are called.
const NAME: &str = "test";

/// See the module.
pub(super) struct Bed {
    subject: Subject,
    described: Description,
    timeout: Duration,
    folders: Vec<(String, TempDir)>,
    usage: Arc<Usage>,
}

enum Subject {
    Sink(Arc<Connector>),
    Encoder(Box<WasmEncoder>),
}

/// An open component.
pub(super) enum Open {
    Sink(Arc<dyn Sink>),
    Encoder(Box<dyn Encode>),
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) fate: Fate,
    /// The values that an encoder made.
    pub(super) values: Vec<Made>,
}

/// A value that an encoder made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// Absent in a tombstone.
    pub(super) payload: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    /// Those that are text.
    pub(super) headers: BTreeMap<String, String>,
}

/// What became of its events.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// The same of all of them.
    Whole(Failure),
    /// The same, and the instance is gone.
    Lost(Failure),
    /// Of each.
    Each(Vec<Word>),
}

impl Bed {
    /// As many writes as `concurrency` may be in flight in an instance whose world lets them overlap.
    ///
    /// Fails with what to tell people: where the configuration, a grant or a file is not as it has to be.
    pub(super) fn new(
        component: &Component,
        setup: &Setup,
        endpoint: Arc<dyn Endpoint>,
        files: &BTreeMap<String, Content>,
        concurrency: NonZeroUsize,
    ) -> Result<Bed, String> {
        let config = Value::Object(setup.config.clone());
        if let Err(problems) = component.check_config(&config) {
            let problems: Vec<String> = problems.iter().map(|problem| format!("`config`: {problem}")).collect();
            return Err(problems.join("\n"));
        }
        let folders = folders(setup).map_err(|error| format!("there is no folder for a trial: {error}"))?;
        for (path, content) in files {
            let host = host_path(&folders, path).ok_or_else(|| {
                format!("`files`: `{path}` is in no folder that the component sees: grant one in `setup.allow.dirs`")
            })?;
            let parent = host.parent().map_or(Ok(()), std::fs::create_dir_all);
            parent.and_then(|()| std::fs::write(&host, content.bytes())).map_err(|error| format!("{path}: {error}"))?;
        }
        let stage = Stage::new(endpoint, Duration::from_millis(setup.now.unsigned_abs()));
        let subject = match component.world() {
            World::Encoder if setup.allow != Grants::default() => {
                return Err("an encoder uses nothing: take `allow` out of `setup`".to_owned());
            }
            World::Encoder => {
                let settings = EncoderSettings { path: PathBuf::new(), config, limits: setup.limits.clone() };
                let encoder = component.encoder_on(&stage, NAME, NAME, &settings);
                Subject::Encoder(Box::new(encoder.map_err(|error| error.to_string())?))
            }
            World::Sink | World::AsyncSink => {
                let dirs = setup.allow.dirs.iter().zip(&folders).map(|(folder, (guest, host))| AllowDir {
                    host: host.path().to_owned(),
                    guest: guest.clone(),
                    access: folder.access,
                });
                let (dirs, env) = (dirs.collect(), setup.allow.env.keys().cloned().collect());
                let (http, tcp) = (setup.allow.http.clone(), setup.allow.tcp.clone());
                let allow = Allow { http, tcp, dirs, env };
                let settings = Settings { path: PathBuf::new(), config, allow, limits: setup.limits.clone() };
                let env = &setup.allow.env;
                let sink = component.connect_on(&stage, NAME, NAME, &settings, env, concurrency);
                Subject::Sink(Arc::new(sink.map_err(|error| error.to_string())?))
            }
        };
        let (described, usage) = (component.description().clone(), Arc::clone(stage.usage()));
        Ok(Bed { subject, described, timeout: setup.timeout, folders, usage })
    }

    /// What a delivery opens; none where it is an encoder.
    pub(super) fn connect(&self) -> Option<Arc<dyn Connect>> {
        match &self.subject {
            Subject::Sink(sink) => Some(Arc::clone(sink) as _),
            Subject::Encoder(_) => None,
        }
    }

    /// What its instances have used.
    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(super) fn described(&self) -> &Description {
        &self.described
    }

    /// Opens an instance, as the delivery does.
    pub(super) async fn open(&self) -> Result<Open, Failure> {
        let opened = async {
            Ok(match &self.subject {
                Subject::Sink(sink) => Open::Sink(sink.open(0).await?),
                Subject::Encoder(encoder) => Open::Encoder(encoder.open().await?),
            })
        };
        let late = || Failure::transient("open-timeout", format!("not opened within {}", self.within()));
        timeout(self.timeout, opened).await.unwrap_or_else(|_| Err(late()))
    }

    /// Makes one call with a batch.
    pub(super) async fn call(&self, open: &mut Open, batch: &Batch, attempt: u32) -> Answered {
        let deadline = Instant::now() + self.timeout;
        let call = async {
            match open {
                Open::Sink(sink) => written(batch.len(), sink.write(batch, &self.context(attempt, deadline)).await),
                Open::Encoder(encoder) => encoded(batch.len(), encoder.encode(batch).await),
            }
        };
        let late = || Failure::unknown("timeout", format!("no answer within {}", self.within()));
        timeout_at(deadline, call).await.unwrap_or_else(|_| Answered::without_values(Fate::Lost(late())))
    }

    /// Makes one call, and says of how many events it did not end well. Takes no time for each event. Fails when the instance
    /// is lost.
    pub(super) async fn count(&self, open: &mut Open, batch: &Batch) -> Result<usize, Failure> {
        let deadline = Instant::now() + self.timeout;
        let refused = |refused: &[Refusal]| refused.iter().map(|refusal| refusal.rows.len()).sum::<usize>();
        let call = async {
            match open {
                Open::Sink(sink) => match sink.write(batch, &self.context(1, deadline)).await {
                    Ok(Outcome::Written) => Ok(0),
                    Ok(Outcome::Partial { refused: some, stopped_at }) => Ok(refused(&some) + batch.len() - stopped_at),
                    Err(WriteError::Failed(_)) => Ok(batch.len()),
                    Err(WriteError::Lost(failure) | WriteError::Superseded(failure)) => Err(failure),
                },
                Open::Encoder(encoder) => match encoder.encode(batch).await {
                    Ok(encoded) => Ok(refused(encoded.refused())),
                    Err(WriteError::Failed(_)) => Ok(batch.len()),
                    Err(WriteError::Lost(failure) | WriteError::Superseded(failure)) => Err(failure),
                },
            }
        };
        let late = || Failure::unknown("timeout", format!("no answer within {}", self.within()));
        timeout_at(deadline, call).await.unwrap_or_else(|_| Err(late()))
    }

    /// Closes an instance.
    pub(super) async fn close(&self, open: Open) -> Result<(), Failure> {
        let Open::Sink(sink) = open else { return Ok(()) };
        let late = || Failure::unknown("timeout", format!("not closed within {}", self.within()));
        timeout(self.timeout, sink.close()).await.unwrap_or_else(|_| Err(late()))
    }

    /// The files in the folders that the component sees, by the paths under which it does.
    pub(super) fn files(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        for (guest, folder) in &self.folders {
            gather(folder.path(), guest.trim_end_matches('/'), &mut files)?;
        }
        Ok(files)
    }

    fn context(&self, attempt: u32, deadline: Instant) -> WriteContext {
        WriteContext {
            pipeline: NAME.into(),
            sink: NAME.into(),
            attempt,
            deadline,
            timeout: self.timeout,
            ordered: true,
            turn: Turn::default(),
            next: None,
        }
    }

    fn within(&self) -> String {
        units::duration::print(self.timeout)
    }
}

impl Answered {
    fn without_values(fate: Fate) -> Answered {
        Answered { fate, values: Vec::new() }
    }
}

fn written(rows: usize, answer: Result<Outcome, WriteError>) -> Answered {
    Answered::without_values(match answer {
        Ok(Outcome::Written) => Fate::Each(vec![Word::Done; rows]),
        Ok(Outcome::Partial { refused, stopped_at }) => Fate::Each(words(rows, &refused, stopped_at)),
        Err(WriteError::Failed(failure)) => Fate::Whole(failure),
        Err(WriteError::Lost(failure) | WriteError::Superseded(failure)) => Fate::Lost(failure),
    })
}

fn encoded(rows: usize, answer: Result<Encoded, WriteError>) -> Answered {
    match answer {
        Ok(encoded) => {
            let values = encoded.values();
            let made = (0..values.payload.len()).map(|row| made(values, row)).collect();
            Answered { fate: Fate::Each(words(rows, encoded.refused(), rows)), values: made }
        }
        Err(error) => written(rows, Err(error)),
    }
}

fn made(values: &Values, row: usize) -> Made {
    let of = |column: &BinaryArray| column.is_valid(row).then(|| column.value(row).to_vec());
    let text = |bytes: &[u8]| str::from_utf8(bytes).ok().map(str::to_owned);
    let headers = values.headers.iter().flat_map(|headers| headers.of(row));
    Made {
        payload: of(&values.payload),
        key: values.key.as_ref().and_then(of),
        headers: headers.filter_map(|(name, value)| Some((text(name)?, text(value?)?))).collect(),
    }
}

fn words(rows: usize, refused: &[Refusal], stopped_at: usize) -> Vec<Word> {
    let mut words: Vec<Word> =
        (0..rows).map(|row| if row < stopped_at { Word::Done } else { Word::NotTried }).collect();
    for Refusal { rows, failure } in refused {
        for row in rows.iter() {
            words[row as usize] = Word::of(failure);
        }
    }
    words
}

/// An empty folder for each that is granted.
fn folders(setup: &Setup) -> io::Result<Vec<(String, TempDir)>> {
    setup.allow.dirs.iter().map(|folder| Ok((folder.guest.clone(), TempDir::new()?))).collect()
}

/// Where a file is that the component knows under a path.
fn host_path(folders: &[(String, TempDir)], path: &str) -> Option<PathBuf> {
    let inside = |guest: &str| path.strip_prefix(guest.trim_end_matches('/'))?.strip_prefix('/');
    let (folder, rest) = folders.iter().find_map(|(guest, folder)| Some((folder, inside(guest)?)))?;
    let is_plain = !rest.split('/').any(|part| matches!(part, "" | "." | ".."));
    is_plain.then(|| folder.path().join(rest))
}

fn gather(folder: &Path, guest: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{guest}/{}", entry.file_name().to_string_lossy());
        match entry.file_type()? {
            kind if kind.is_dir() => gather(&entry.path(), &path, files)?,
            kind if kind.is_file() => drop(files.insert(path, std::fs::read(entry.path())?)),
            // A link leads wherever the component wanted: what is there is none of the case's.
            _ => {}
        }
    }
    Ok(())
}
