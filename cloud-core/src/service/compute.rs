//! `Compute`: virtual machines, and on this machine processes.

use std::{collections::BTreeMap, fmt::Debug, net::IpAddr};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listings;
use crate::{
    ByteSize, ClientToken, ComputeCapabilities, Error, ListQuery, Overrides, Page, PageRequest,
    Region, ResourceId, ResourceKind, ResourceStatus, Result, SecretRef, Tags, Zone,
    resource::view,
    text::{check_name, check_text},
};

/// How large an instance is.
///
/// ```
/// use cloud_core::InstanceSize;
/// let exact: InstanceSize = serde_json::from_str(r#"{"exact": "t3.medium"}"#).unwrap();
/// let at_least: InstanceSize =
///     serde_json::from_str(r#"{"at_least": {"vcpu": 2, "memory": "4GiB"}}"#).unwrap();
/// assert_ne!(exact, at_least);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InstanceSize {
    /// A type by the provider's own name.
    Exact(String),
    /// The cheapest type that has at least this.
    AtLeast {
        /// Virtual CPUs.
        vcpu: u32,
        /// Main memory.
        memory: ByteSize,
        /// Graphics or accelerator cards.
        #[serde(default, skip_serializing_if = "is_zero")]
        gpu: u32,
    },
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What an instance boots from.
///
/// ```
/// use cloud_core::Image;
/// assert_eq!(Image::default(), Image::Alias("ubuntu-24.04".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// An image by the provider's own id.
    Id(String),
    /// A portable name that each adapter resolves to the provider's newest image of that system:
    /// `ubuntu-24.04`, `debian-12`.
    Alias(String),
}

impl Default for Image {
    fn default() -> Self {
        Self::Alias("ubuntu-24.04".into())
    }
}

/// A request for an instance, the same for every cloud.
///
/// ```
/// use cloud_core::{ByteSize, InstanceSize, InstanceSpec, Region};
/// let mut spec = InstanceSpec::new("web-1", Region::new("eu-1").unwrap());
/// spec.size = InstanceSize::AtLeast { vcpu: 2, memory: ByteSize::gib(4), gpu: 0 };
/// spec.command = vec!["/usr/bin/python3".into(), "-m".into(), "http.server".into()];
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The zone; `None` leaves the choice to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// How large. Default: at least 1 vCPU and 1 GiB.
    #[serde(default = "small")]
    pub size: InstanceSize,
    /// What it boots from. Default: `ubuntu-24.04`. Processes on this machine boot from nothing.
    #[serde(default)]
    pub image: Image,
    /// The program that it runs once it is up, and its arguments. A cloud of virtual machines starts it
    /// through cloud-init; on this machine it is the process itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The environment of that program. Not for secrets: it is written into plans and the journal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The part of the environment that is secret, by reference; resolved when the instance is created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_environment: BTreeMap<String, SecretRef>,
    /// The TCP ports that the program listens on, each told to it in the environment variable that is its key. 0
    /// lets the cloud choose a free one where instances share one host, and is refused elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// A cloud-init script or document, at most 16 KiB. Not for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The network it is attached to; `None` is the provider's default network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ResourceId>,
    /// The subnet in that network, by name; `None` leaves the choice to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The firewalls in front of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<ResourceId>,
    /// Whether it gets an address that the internet can reach. Default: no.
    #[serde(default)]
    pub public_ip: bool,
    /// Name of an SSH key that the provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
    /// Whether it may be taken away at any time for a lower price. Default: no.
    #[serde(default)]
    pub spot: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

fn small() -> InstanceSize {
    InstanceSize::AtLeast { vcpu: 1, memory: ByteSize::gib(1), gpu: 0 }
}

impl InstanceSpec {
    /// The smallest instance of this name, with all else at its default.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        Self {
            name: name.into(),
            region,
            zone: None,
            size: small(),
            image: Image::default(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            secret_environment: BTreeMap::new(),
            ports: BTreeMap::new(),
            user_data: None,
            network: None,
            subnet: None,
            firewalls: Vec::new(),
            public_ip: false,
            ssh_key: None,
            spot: false,
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("instance name", &self.name)?;
        match &self.size {
            InstanceSize::Exact(name) => check_text("size.exact", name, 128)?,
            InstanceSize::AtLeast { vcpu, memory, gpu } => {
                check_range("size.at_least.vcpu", u64::from(*vcpu), 1, 10_000)?;
                check_range("size.at_least.gpu", u64::from(*gpu), 0, 1_000)?;
                if memory.bytes() == 0 {
                    return Err(Error::invalid("size.at_least.memory", "is 0", "more"));
                }
            }
        }
        match &self.image {
            Image::Id(text) | Image::Alias(text) => check_text("image", text, 1024)?,
        }
        for part in &self.command {
            if part.contains('\0') {
                return Err(Error::invalid("command", "contains a NUL character", "any other"));
            }
        }
        if self.command.first().is_some_and(String::is_empty) {
            return Err(Error::invalid(
                "command",
                "has an empty program",
                "a program's name or path",
            ));
        }
        check_environment(&self.environment, &self.secret_environment)?;
        self.check_ports()?;
        if let Some(data) = &self.user_data
            && (data.len() > 16 * 1024 || data.contains('\0'))
        {
            return Err(Error::invalid(
                "user_data",
                format_args!("has {} bytes or a NUL character", data.len()),
                "at most 16384 bytes without NUL",
            ));
        }
        if let Some(network) = &self.network {
            network.expect_kind(ResourceKind::Network)?;
        }
        self.firewalls.iter().try_for_each(|id| id.expect_kind(ResourceKind::Firewall))
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &ComputeCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("instance name", &self.name)?;
        if self.spot && !can.spot {
            return Err(Error::unsupported("spot instances"));
        }
        if self.zone.is_some() && !can.zones {
            return Err(Error::unsupported("zones"));
        }
        Ok(())
    }
}

impl InstanceSpec {
    fn check_ports(&self) -> Result<()> {
        for (name, port) in &self.ports {
            check_variable(name)?;
            let field = format!("ports.{name}");
            if self.environment.contains_key(name) || self.secret_environment.contains_key(name) {
                return Err(Error::invalid(&field, "is in the environment too", "one of the two"));
            }
            if *port != 0 && self.ports.iter().any(|(n, p)| n < name && p == port) {
                return Err(Error::invalid(
                    &field,
                    format_args!("is {port}, as another is"),
                    "each port once",
                ));
            }
        }
        Ok(())
    }
}

/// Refuses a number out of bounds, naming the field.
pub(crate) fn check_range(field: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, format_args!("is {value}"), format_args!("{least} to {most}")))
}

/// Refuses environment variables that no system takes, and a variable that is both plain and secret.
pub(crate) fn check_environment(
    plain: &BTreeMap<String, String>,
    secret: &BTreeMap<String, SecretRef>,
) -> Result<()> {
    plain.keys().chain(secret.keys()).try_for_each(|name| check_variable(name))?;
    for (name, value) in plain {
        if value.contains('\0') {
            let field = format!("environment.{name}");
            return Err(Error::invalid(&field, "contains a NUL character", "any other"));
        }
        if secret.contains_key(name) {
            let field = format!("environment.{name}");
            return Err(Error::invalid(&field, "is in secret_environment too", "one of the two"));
        }
    }
    Ok(())
}

fn check_variable(name: &str) -> Result<()> {
    check_text("environment variable", name, 255)?;
    if !name.contains('=') {
        return Ok(());
    }
    let problem = format!("'{name}' contains '='");
    Err(Error::invalid("environment variable", problem, "a name without '='"))
}

/// An instance, as its cloud reports it.
///
/// ```
/// # use cloud_core::Instance;
/// fn ready(instance: &Instance) -> bool {
///     instance.status.is_ready() && !instance.addresses.is_empty()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The provider's own word for its state.
    pub provider_status: String,
    /// Why it is in that state, where the provider says so (an exit code, a stock-out).
    pub status_reason: Option<String>,
    /// The zone it is in.
    pub zone: Option<Zone>,
    /// The provider's name of its type.
    pub instance_type: String,
    /// Its addresses: private first, then public.
    pub addresses: Vec<IpAddr>,
    /// The ports that its program listens on, by the environment variable that told it, where the cloud chose or
    /// keeps them; empty elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A type of instance that a region offers.
///
/// ```
/// # use cloud_core::InstanceType;
/// fn fits(t: &InstanceType, vcpu: u32) -> bool { t.vcpu >= vcpu }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceType {
    /// The provider's name for it.
    pub name: String,
    /// Where it is on offer.
    pub region: Region,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Main memory.
    pub memory: ByteSize,
    /// Graphics or accelerator cards.
    pub gpu: u32,
    /// `x86_64` or `arm64`, where known.
    pub architecture: Option<String>,
}

/// Instances. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{ClientToken, Compute, Instance, InstanceSpec, Region, Result, WaitOptions, wait_until};
/// async fn start(compute: &dyn Compute) -> Result<Instance> {
///     let spec = InstanceSpec::new("web-1", Region::new("eu-1")?);
///     let made = compute.create_instance(&spec, &ClientToken::random()).await?;
///     wait_until("web-1 running", &WaitOptions::default(), || async {
///         let now = compute.get_instance(&made.id).await?;
///         Ok(now.status.is_ready().then_some(now))
///     })
///     .await
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Compute: Debug + Send + Sync {
    /// Creates an instance.
    ///
    /// # Errors
    /// [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded), [`CapacityUnavailable`](crate::ErrorKind::CapacityUnavailable), or any.
    async fn create_instance(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance>;

    /// One instance.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_instance(&self, id: &ResourceId) -> Result<Instance>;

    /// One page of the instances. See [`ComputeExt::list_instances`].
    ///
    /// # Errors
    /// Any.
    async fn list_instances_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Instance>>;

    /// Deletes (terminates) an instance and what was made with it. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_instance(&self, id: &ResourceId) -> Result<bool>;

    /// Starts a stopped instance; nothing if it runs.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn start_instance(&self, id: &ResourceId) -> Result<()>;

    /// Stops an instance and keeps it; nothing if it is stopped.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn stop_instance(&self, id: &ResourceId) -> Result<()>;

    /// Reboots a running instance.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Conflict`](crate::ErrorKind::Conflict) if it is not running, or any.
    async fn reboot_instance(&self, id: &ResourceId) -> Result<()>;

    /// The end of what the instance wrote to its console, at most 64 KiB. It may contain whatever the
    /// program printed, secrets of its own included.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn console_output(&self, id: &ResourceId) -> Result<Bytes> {
        let _ = id;
        Err(Error::unsupported("console output"))
    }

    /// One page of the instance types. See [`ComputeExt::list_instance_types`].
    ///
    /// # Errors
    /// Any.
    async fn list_instance_types_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<InstanceType>>;
}

view!(Instance);

listings! {
    /// Sugar over [`Compute`].
    ComputeExt: Compute {
        /// The instances that match.
        list_instances by list_instances_page(ListQuery) -> Instance;
        /// The instance types on offer; of the query, region and name count.
        list_instance_types by list_instance_types_page(ListQuery) -> InstanceType;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_variable_and_a_variable_one_value() {
        let spec = |ports: &[(&str, u16)]| {
            let mut spec = InstanceSpec::new("web", Region::new("eu-1").unwrap());
            spec.environment.insert("HOST".into(), "::".into());
            spec.ports = ports.iter().map(|(n, p)| ((*n).into(), *p)).collect();
            spec.validate()
        };
        assert!(spec(&[("PORT", 0), ("ADMIN", 0), ("DEBUG", 9000)]).is_ok());
        for ports in
            [[("HOST", 80)].as_slice(), &[("A=B", 80)], &[("", 80)], &[("A", 80), ("B", 80)]]
        {
            assert!(spec(ports).is_err(), "{ports:?}");
        }
    }
}
