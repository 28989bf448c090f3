//! The ports of instances: they share one host, so each port belongs to one instance of the cloud.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
};

use cloud_core::{Error, ErrorKind, ResourceId, ResourceKind, Result};

use super::InstanceBody;
use crate::state::Locked;

/// The ports of a new instance: those it names, unless another instance of this cloud has them, and free ones for 0.
pub(super) fn choose(
    s: &Locked<'_>,
    wanted: &BTreeMap<String, u16>,
) -> Result<BTreeMap<String, u16>> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut taken = BTreeMap::new();
    for region in s.state().regions() {
        for native in s.state().natives(ResourceKind::Instance, &region.name)? {
            let id = ResourceId::new(ResourceKind::Instance, region.name.clone(), native)?;
            if let Some(other) = s.state().find::<InstanceBody>(&id)? {
                taken.extend(other.body.ports.values().map(|port| (*port, id.clone())));
            }
        }
    }
    let fixed: BTreeSet<u16> = wanted.values().copied().collect();
    let mut ports = BTreeMap::new();
    // Held until all are chosen, so that none is chosen twice.
    let mut held = Vec::new();
    for (name, port) in wanted {
        let port = match port {
            0 => loop {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                held.push(listener);
                if !taken.contains_key(&port) && !fixed.contains(&port) {
                    break port;
                }
            },
            port => match taken.get(port) {
                None => *port,
                Some(other) => {
                    let message = format!("port {port} ({name}) is that of {other}");
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_hint("ask for port 0 to have a free one chosen"));
                }
            },
        };
        ports.insert(name.clone(), port);
    }
    Ok(ports)
}
