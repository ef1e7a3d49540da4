//! Sockets of WASI 0.2. Where a component is tried, what it connects leads to the stage, and never out of this process; else
//! they are those of Wasmtime.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType, TcpSocket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, InputStream, OutputStream, Pollable, SocketError, StreamError,
    subscribe,
};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::View;
use crate::wasm::stage::{Connection, End, NoAnswer, Pipe};

/// What a guest may write at once.
const WINDOW: usize = 64 << 10;
/// Longer than any call.
const NEVER: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);

type Answer<T> = Result<T, SocketError>;

/// A socket that is connected, or being connected, to a stage.
pub(in crate::wasm) struct Staged {
    address: SocketAddr,
    /// Absent once its streams are given out.
    begun: Option<Begun>,
    connection: Connection,
}

struct Begun {
    at: Instant,
    refused: Option<NoAnswer>,
}

impl View<'_> {
    fn staged(&self, socket: &Resource<TcpSocket>) -> Option<&Staged> {
        self.staged.get(&socket.rep())
    }
}

impl tcp::Host for View<'_> {}

/// Hands a call on to the socket of Wasmtime, which on a stage is there and never connected.
macro_rules! plain {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $name(&mut self, this: Resource<TcpSocket> $(, $argument: $type)*) -> $answer {
            self.sockets.$name(this $(, $argument)*)
        }
    )*};
}

impl HostTcpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> Answer<()> {
        self.sockets.start_bind(this, network, local).await
    }

    async fn start_listen(&mut self, this: Resource<TcpSocket>) -> Answer<()> {
        self.sockets.start_listen(this).await
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> Answer<()> {
        let Some(stage) = self.stage else { return self.sockets.start_connect(this, network, remote) };
        if self.staged(&this).is_some() {
            return Err(ErrorCode::InvalidState.into());
        }
        let address = SocketAddr::from(remote);
        if !self.connections.permits(address, SocketAddrUse::TcpConnect) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let connection = Connection::default();
        let (after, refused) = match stage.connect(address, connection.clone()) {
            Ok(after) => (after.min(NEVER), None),
            Err(none) => (std::time::Duration::ZERO, Some(none)),
        };
        let begun = Some(Begun { at: Instant::now() + after, refused });
        self.staged.insert(this.rep(), Staged { address, begun, connection });
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> Answer<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let Some(staged) = self.staged.get_mut(&this.rep()) else { return self.sockets.finish_connect(this) };
        match &staged.begun {
            None => return Err(ErrorCode::NotInProgress.into()),
            Some(begun) if Instant::now() < begun.at => return Err(ErrorCode::WouldBlock.into()),
            Some(Begun { refused: Some(none), .. }) => {
                return Err(match none {
                    NoAnswer::NoHost => ErrorCode::RemoteUnreachable,
                    NoAnswer::Refused => ErrorCode::ConnectionRefused,
                    NoAnswer::Reset => ErrorCode::ConnectionReset,
                }
                .into());
            }
            Some(_) => staged.begun = None,
        }
        let Connection { to_guest, from_guest } = staged.connection.clone();
        let input: DynInputStream = Box::new(Incoming(to_guest));
        let output: DynOutputStream = Box::new(Outgoing(from_guest));
        let input = self.sockets.table.push_child(input, &this)?;
        let output = self.sockets.table.push_child(output, &this)?;
        Ok((input, output))
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> Answer<IpSocketAddress> {
        match self.staged(&this) {
            Some(_) => Ok(SocketAddr::from(([10, 0, 0, 1], 49_152)).into()),
            None => self.sockets.local_address(this),
        }
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> Answer<IpSocketAddress> {
        match self.staged(&this) {
            Some(staged) => Ok(staged.address.into()),
            None => self.sockets.remote_address(this),
        }
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        let Some(staged) = self.staged(&this) else { return self.sockets.subscribe(this) };
        let at = staged.begun.as_ref().map_or_else(Instant::now, |begun| begun.at);
        let waiting = self.sockets.table.push(Waiting(at))?;
        subscribe(self.sockets.table, waiting)
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, how: ShutdownType) -> Answer<()> {
        let Some(staged) = self.staged(&this) else { return self.sockets.shutdown(this, how) };
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            staged.connection.from_guest.end(End::Closed);
        }
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            staged.connection.to_guest.end(End::Closed);
        }
        Ok(())
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        if let Some(staged) = self.staged.remove(&this.rep()) {
            staged.connection.from_guest.end(End::Closed);
        }
        HostTcpSocket::drop(&mut self.sockets, this)
    }

    plain! {
        finish_bind() -> Answer<()>;
        finish_listen() -> Answer<()>;
        accept() -> Answer<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)>;
        is_listening() -> wasmtime::Result<bool>;
        address_family() -> wasmtime::Result<IpAddressFamily>;
        set_listen_backlog_size(value: u64) -> Answer<()>;
        keep_alive_enabled() -> Answer<bool>;
        set_keep_alive_enabled(value: bool) -> Answer<()>;
        keep_alive_idle_time() -> Answer<u64>;
        set_keep_alive_idle_time(value: u64) -> Answer<()>;
        keep_alive_interval() -> Answer<u64>;
        set_keep_alive_interval(value: u64) -> Answer<()>;
        keep_alive_count() -> Answer<u32>;
        set_keep_alive_count(value: u32) -> Answer<()>;
        hop_limit() -> Answer<u8>;
        set_hop_limit(value: u8) -> Answer<()>;
        receive_buffer_size() -> Answer<u64>;
        set_receive_buffer_size(value: u64) -> Answer<()>;
        send_buffer_size() -> Answer<u64>;
        set_send_buffer_size(value: u64) -> Answer<()>;
    }
}

/// Until a connection is there.
struct Waiting(Instant);

#[async_trait::async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        sleep_until(self.0).await;
    }
}

/// What the endpoint says.
struct Incoming(Pipe);

#[async_trait::async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        self.0.ready().await;
    }
}

impl InputStream for Incoming {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        self.0.take(size).map_err(ended)
    }
}

/// What the endpoint hears.
struct Outgoing(Pipe);

#[async_trait::async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {}
}

impl OutputStream for Outgoing {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if self.0.write(&bytes) { Ok(()) } else { Err(ended(End::Reset)) }
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WINDOW)
    }
}

fn ended(end: End) -> StreamError {
    match end {
        End::Closed => StreamError::Closed,
        End::Reset => StreamError::LastOperationFailed(wasmtime::Error::from(std::io::Error::from(
            std::io::ErrorKind::ConnectionReset,
        ))),
    }
}
