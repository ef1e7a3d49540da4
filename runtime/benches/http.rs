//! Lines from a file to a server, by the command as people run it, beside minimal clients for the same server, which
//! has a process of its own. Processor seconds a million lines: user and system, start and end included.
//!
//! One client sends a body that it has, again and again: no program that delivers events can be as fast. The other one
//! reads the file and cuts it into bodies.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/input.rs"]
mod input;
#[path = "support/process.rs"]
mod process;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use figures::{Fail, median, report};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use process::{Used, run};
use tokio::net::{TcpListener, TcpStream};

const LINES: usize = 1_000_000;
const LINES_A_BODY: usize = 1000;
const ROUNDS: usize = 5;

/// What is measured in each round, one after the other, and what Sump is told beside.
const CASES: [(&str, &str); 6] = [
    (PREPARED, ""),
    (CUT, ""),
    ("file to HTTP", ""),
    ("file to HTTP, as arrays", "body = 'array'"),
    ("file to HTTP, zstd", "compression = 'zstd'"),
    ("file to HTTP, gzip", "compression = 'gzip'"),
];
const PREPARED: &str = "hyper, prepared bodies";
const CUT: &str = "hyper, bodies cut from the file";

fn main() -> Result<(), Fail> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve"] => runtime.block_on(serve()),
        ["--send", case, address, path] => runtime.block_on(send(case, address, Path::new(path))),
        _ => measure(),
    }
}

fn measure() -> Result<(), Fail> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bench = Bench::new(folder.path())?;
    let mut took: [(Vec<f64>, Vec<f64>); CASES.len()] = Default::default();
    let mut peak = [0.0_f64; CASES.len()];
    // The first round brings the file into memory.
    for round in 0..=ROUNDS {
        for (case, (name, settings)) in CASES.iter().enumerate() {
            let used = bench.measure(name, settings)?;
            if round > 0 {
                took[case].0.push(used.cpu.as_secs_f64());
                took[case].1.push(used.wall.as_secs_f64());
                peak[case] = peak[case].max(used.peak);
            }
        }
    }
    let took = took.map(|(cpu, wall)| (median(cpu), median(wall)));
    for ((name, _), (cpu, wall)) in CASES.iter().zip(took) {
        report("http", name, cpu, "CPU-s/million")?;
        report("http", &format!("{name}, by the clock"), wall, "s/million")?;
    }
    let [(prepared, _), (cut, _), (sump, _), ..] = took;
    report("http", "file to HTTP / prepared bodies", sump / prepared, "ratio")?;
    report("http", "file to HTTP / bodies cut from the file", sump / cut, "ratio")?;
    report("http", "file to HTTP: peak memory", peak[2], "MiB")
}

struct Bench {
    folder: PathBuf,
    input: PathBuf,
    length: u64,
    server: Child,
    address: String,
}

impl Bench {
    /// Makes the input, the quake events over and over, and starts the server.
    fn new(folder: &Path) -> Result<Bench, Fail> {
        let input = input::create(folder, LINES)?;
        let mut serve = Command::new(std::env::current_exe()?);
        let mut server = serve.arg("--serve").stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(server.stdout.take().ok_or("the server says nothing")?).read_line(&mut address)?;
        let length = input.metadata()?.len();
        Ok(Bench { folder: folder.to_owned(), input, length, server, address: address.trim().to_owned() })
    }

    fn measure(&self, case: &str, settings: &str) -> Result<Used, Fail> {
        let used = match case {
            PREPARED | CUT => {
                let mut client = Command::new(std::env::current_exe()?);
                run(client.args(["--send", case, &self.address]).arg(&self.input))?
            }
            _ => self.sump(settings)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let received = runtime.block_on(received(&self.address))?;
        // Other forms of body have other lengths.
        if settings.is_empty() && case != PREPARED && received != self.length {
            return Err(format!("{case}: {received} bytes of {} arrived", self.length).into());
        }
        Ok(used)
    }

    /// A run from the beginning.
    fn sump(&self, settings: &str) -> Result<Used, Fail> {
        let (config, data) = (self.folder.join("sump.toml"), self.folder.join("data"));
        let text = format!(
            "[source.lines]\ntype = \"file\"\npath = {:?}\n[pipeline.bench]\nsource = \"lines\"\n\
             [pipeline.bench.sink.out]\ntype = \"http\"\nurl = \"http://{}/in\"\nbatch_size = {LINES_A_BODY}\n{settings}\n",
            self.input, self.address
        );
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
        command.arg("run").arg(&config).arg("--from-start").arg("--data-dir").arg(&data);
        run(command.stderr(Stdio::null()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// Says where it listens, reads whatever comes, and says how much that was since it was last asked.
async fn serve() -> Result<(), Fail> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let received = Arc::new(AtomicU64::new(0));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, received) = (listener.accept().await?.0, received.clone());
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let service = service_fn(move |request| answer(request, received.clone()));
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, received: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/received" {
        let text = received.swap(0, Ordering::Relaxed).to_string();
        return Ok(Response::new(Full::from(text)));
    }
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        received.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
    }
    Ok(Response::new(Full::default()))
}

/// A connection for one request after the other.
struct Client {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    _connection: tokio::task::JoinSet<()>,
}

impl Client {
    async fn new(address: &str) -> Result<Client, Fail> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Ok(Client { sender, _connection: task })
    }

    async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes, Fail> {
        self.sender.ready().await?;
        let request = Request::post(path).header("host", "127.0.0.1").body(Full::new(body))?;
        let answer = self.sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("the server answered {}", answer.status()).into());
        }
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}

async fn received(address: &str) -> Result<u64, Fail> {
    let body = Client::new(address).await?.post("/received", Bytes::new()).await?;
    Ok(std::str::from_utf8(&body)?.parse()?)
}

/// All lines, a thousand a body.
async fn send(case: &str, address: &str, path: &Path) -> Result<(), Fail> {
    let (mut client, mut file) = (Client::new(address).await?, BufReader::with_capacity(1 << 20, File::open(path)?));
    let prepared = if case == PREPARED { Some(body(&mut file)?) } else { None };
    for _ in 0..LINES / LINES_A_BODY {
        let body = match &prepared {
            Some(body) => body.clone(),
            None => body(&mut file)?,
        };
        client.post("/in", body).await?;
    }
    Ok(())
}

/// The next thousand lines.
fn body(file: &mut BufReader<File>) -> Result<Bytes, Fail> {
    let mut body = Vec::with_capacity(LINES_A_BODY * 240);
    for _ in 0..LINES_A_BODY {
        file.by_ref().read_until(b'\n', &mut body)?;
    }
    Ok(body.into())
}
