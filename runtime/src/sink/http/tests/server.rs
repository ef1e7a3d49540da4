//! A server that reads requests and answers them as its script says.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Sends this, and waits for the next request.
    Says(String),
    /// Sends this, and ends the connection.
    Ends(&'static str),
    /// Ends the connection so that what is on its way is lost.
    Resets,
    /// Sends this, and nothing more.
    Hangs(&'static str),
}

/// A status without a body.
pub(super) fn status(status: u16) -> Does {
    says(status, "", "")
}

/// A status with headers, each with its line end, and a body.
pub(super) fn says(status: u16, headers: &str, body: &str) -> Does {
    Does::Says(format!("HTTP/1.1 {status} It\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Counted from 0.
    pub(super) connection: usize,
    /// Method, target and version.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The target, and who it says that it is from.
    pub(super) fn by_whom(&self) -> (&str, &str) {
        (self.line.split(' ').nth(1).unwrap(), self.header("authorization").unwrap_or_default())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// It listens until it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _connections: JoinSet<()>,
}

impl Server {
    /// Does with the n-th request what stands there in the script; its last line holds for all others.
    pub(super) async fn new(script: impl IntoIterator<Item = Does>) -> Server {
        let script: Arc<[Does]> = script.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (all, mut tasks) = (asked.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { break };
                connections.spawn(serve(connection, stream, script.clone(), asked.clone()));
            }
        });
        Server { url, asked: all, _connections: tasks }
    }

    /// All requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(connection: usize, stream: TcpStream, script: Arc<[Does]>, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(connection, &mut stream).await {
        let does = {
            let mut asked = asked.lock().unwrap();
            asked.push(request);
            script[(asked.len() - 1).min(script.len() - 1)].clone()
        };
        let (text, then) = match &does {
            Does::Says(text) => (text.as_str(), Then::Next),
            Does::Ends(text) => (*text, Then::End),
            Does::Resets => ("", Then::Reset),
            Does::Hangs(text) => (*text, Then::Hang),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        match then {
            Then::Next => {}
            Then::End => return,
            Then::Reset => return stream.get_ref().set_zero_linger().unwrap(),
            Then::Hang => std::future::pending().await,
        }
    }
}

enum Then {
    Next,
    End,
    Reset,
    Hang,
}

/// The next request; none at the end of the connection.
async fn read(connection: usize, stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let line = head_line(stream).await?;
    let mut headers = Vec::new();
    while let Some((name, value)) = head_line(stream).await?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { connection, line, headers, body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    asked.body.resize(length, 0);
    stream.read_exact(&mut asked.body).await.ok()?;
    Some(asked)
}

async fn head_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
