//! Real servers, each in a folder of its own and on a free port.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::sump::wait_for;

/// A server that listens. It is killed when a test ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program, which says what it has to say into `log`, and waits until it listens on `port`.
    pub(crate) fn start(program: &str, args: &[&str], folder: &Path, port: u16) -> Server {
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}: `cargo xtask test` installs it"));
        wait_for(program, || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{program}: {status}: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
