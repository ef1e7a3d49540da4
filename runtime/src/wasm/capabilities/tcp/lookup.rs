//! Looking names up, for WASI 0.2 and 0.3: those that are granted, and of their addresses those that they may lead to.

use std::collections::HashMap;
use std::net::IpAddr;

use wasmtime::component::{Accessor, HasData, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as v0_2;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup as v0_3, types};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

use super::{Connections, Staged};
use crate::wasm::stage::Stage;

/// Names the view for the linker.
pub(in crate::wasm) struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

/// The sockets of a store, and what they may be connected to.
pub(in crate::wasm) struct View<'a> {
    pub(in crate::wasm) sockets: WasiSocketsCtxView<'a>,
    pub(in crate::wasm) connections: &'a Connections,
    /// The names whose addresses are still being asked for.
    pub(in crate::wasm) asked: &'a mut HashMap<u32, String>,
    /// What stands in the place of the world, where a component is tried.
    pub(in crate::wasm) stage: Option<&'a Stage>,
    /// The sockets that are connected to it, by the resource.
    pub(in crate::wasm) staged: &'a mut HashMap<u32, Staged>,
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl v0_2::Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let granted = self.connections.granted(&name).ok_or(ErrorCode::PermanentResolverFailure)?;
        let sought = self.stage.map_or_else(|| granted.clone(), |stage| stage.address_of(&granted).to_string());
        let stream = self.sockets.resolve_addresses(network, sought)?;
        self.asked.insert(stream.rep(), granted);
        Ok(stream)
    }
}

impl v0_2::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let rep = stream.rep();
        loop {
            let next = self.sockets.resolve_next_address(Resource::new_borrow(rep))?;
            let Some(address) = next else { return Ok(None) };
            if self.asked.get(&rep).is_some_and(|name| self.connections.leads(name, ip(address))) {
                return Ok(Some(address));
            }
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.asked.remove(&stream.rep());
        v0_2::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

impl v0_3::Host for View<'_> {}

impl<T> v0_3::HostWithStore<T> for Sockets {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<types::IpAddress>, v0_3::ErrorCode>> {
        let (connections, stage) = store.with(|mut view| (view.get().connections.clone(), view.get().stage.cloned()));
        let Some(name) = connections.granted(&name) else {
            return Ok(Err(v0_3::ErrorCode::PermanentResolverFailure));
        };
        let sought = stage.map_or_else(|| name.clone(), |stage| stage.address_of(&name).to_string());
        let Ok(found) = tokio::net::lookup_host((sought.as_str(), 0)).await else {
            return Ok(Err(v0_3::ErrorCode::NameUnresolvable));
        };
        let permitted =
            found.map(|found| found.ip().to_canonical()).filter(|address| connections.leads(&name, *address));
        Ok(Ok(permitted.map(types::IpAddress::from).collect()))
    }
}
