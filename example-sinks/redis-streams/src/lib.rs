//! Adds events to a stream of Redis over one TCP connection: a script for each batch, which adds an event only where its
//! idempotency key is new. So a batch that comes again, after a kill or an answer that was lost, adds nothing twice.
//!
//! ```toml
//! [pipeline.quakes.sink.stream]
//! type = "wasm"
//! path = "redis_streams.wasm"
//! config = { address = "redis.internal:6379", stream = "quakes", password = "${REDIS_PASSWORD}" }
//! allow.tcp = ["redis.internal:6379"]
//! ```
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;

use serde::Deserialize;
use sump_sdk::Batch;
use sump_sdk::BatchSink;
use sump_sdk::Context;
use sump_sdk::Error;
use sump_sdk::Opening;
use sump_sdk::Report;

/// What `config` in the pipeline's configuration holds.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host and port of the server.
    pub address: String,
    /// The stream that events are added to, as entries with the one field `event`.
    pub stream: String,
    /// The password of the default user, where it has one.
    pub password: Option<String>,
    /// For how many seconds Redis remembers which events it has.
    #[serde(default = "a_day")]
    pub remember: u32,
}

fn a_day() -> u32 {
    86_400
}

/// Redis runs a script as a whole, and none of it where there is no memory for it. The entry comes before its key, so that
/// whatever ends the script leaves no key without an entry.
const SCRIPT: &[u8] = b"for i = 2, #ARGV, 2 do
  local key = KEYS[1] .. ':' .. ARGV[i]
  if redis.call('EXISTS', key) == 0 then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i + 1])
    redis.call('SET', key, '', 'EX', ARGV[1])
  end
end";

/// The sink.
#[derive(Debug)]
pub struct RedisStreams {
    config: Config,
    connection: Option<BufReader<TcpStream>>,
}

impl BatchSink for RedisStreams {
    type Config = Config;
    // A batch is added whole or not at all.
    const STOPS_IN_ORDER: bool = true;

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config, connection: None })
    }

    fn write(&mut self, batch: &Batch, context: &Context) -> Result<Report, Error> {
        let mut report = Report::written();
        let (stream, remember) = (self.config.stream.as_bytes(), self.config.remember.to_string());
        let mut command: Vec<Vec<u8>> = [b"EVAL", SCRIPT, b"1", stream, remember.as_bytes()].map(<[u8]>::to_vec).into();
        for event in batch.events() {
            match event.bytes() {
                Ok(payload) => command.extend([event.idempotency_key(context).into_bytes(), payload.to_vec()]),
                Err(error) => report.refuse(event.index(), error),
            }
        }
        if command.len() > 5 {
            self.ask(&command)?;
        }
        Ok(report)
    }
}

impl RedisStreams {
    /// Sends a command, and reads its answer. The connection is kept unless it fails.
    fn ask(&mut self, command: &[Vec<u8>]) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answered = exchange(&mut connection, command)?;
        self.connection = Some(connection);
        answered
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, Error> {
        let Config { address, password, .. } = &self.config;
        let stream = TcpStream::connect(address).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Error::halted("not-granted", format!("{address}: {error}")),
            _ => Error::transient("connect", format!("{address}: {error}")),
        })?;
        let mut connection = BufReader::new(stream);
        if let Some(password) = password {
            exchange(&mut connection, &[b"AUTH".to_vec(), password.clone().into_bytes()])??;
        }
        Ok(connection)
    }
}

/// One command and its answer, in the protocol of Redis (RESP2): what Redis says, or that the connection failed.
fn exchange(connection: &mut BufReader<TcpStream>, command: &[Vec<u8>]) -> Result<Result<(), Error>, Error> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
    }
    let lost = |error: io::Error| Error::unknown("no-answer", error.to_string());
    connection.get_mut().write_all(&bytes).map_err(lost)?;
    // The answers to these commands are one line, and never long.
    let mut answer = String::new();
    connection.take(4096).read_line(&mut answer).map_err(lost)?;
    match answer.strip_suffix("\r\n") {
        None => Err(Error::unknown("no-answer", "the connection ended")),
        Some(answer) => Ok(answer.strip_prefix('-').map_or(Ok(()), |error| Err(meaning(error)))),
    }
}

/// What an error of Redis means, by its first word. Whatever is not known may go away by itself.
fn meaning(error: &str) -> Error {
    let code = error.split(' ').next().unwrap_or_default().to_ascii_lowercase();
    let misfit = ["wrongtype", "noauth", "wrongpass", "noperm"].contains(&code.as_str());
    // A script that failed names the error of its command behind its own.
    match misfit || error.contains("WRONGTYPE") || error.contains("invalid password") {
        true => Error::halted(code, error),
        false => Error::transient(code, error),
    }
}

sump_sdk::batch_sink!(RedisStreams);
