//! [`AwsCompute`]: instances on EC2.

mod images;
mod launch;
mod settings;
mod types;
mod user_data;
#[cfg(feature = "quotas")]
mod vcpus;
mod view;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, InstanceStateName};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cloud_core::{
    ClientToken, Compute, ComputeCapabilities, Error, ErrorKind, Instance, InstanceSpec,
    InstanceType, ListQuery, Page, PageRequest, Region, ResourceId, ResourceKind, ResourceStatus,
    Result, Tags,
};
pub use settings::{Architecture, AwsInstance, OnShutdown, Tenancy};
#[cfg(feature = "quotas")]
pub(crate) use vcpus::standard_vcpus;

use self::{types::Types, view::view};
use crate::{
    account::Account,
    error::{absent, has_code, reads, writes},
    listing::{self, NativePage, native_size},
    names, tags,
    tokens::{REQUEST_TAG, Request},
};

/// The type that a size stands for, of the nodes of another service.
#[cfg(feature = "kubernetes")]
pub(crate) async fn node_type(
    account: &Account,
    region: &Region,
    size: &cloud_core::InstanceSize,
    spot: bool,
    arm64: bool,
) -> Result<String> {
    let architecture = Some(if arm64 { Architecture::Arm64 } else { Architecture::X86_64 });
    let place = types::Place { zone: None, spot, architecture, architecture_matters: false };
    Ok(Types::default().resolve(account, region, size, place).await?.0)
}

/// The most bytes of console output.
const CONSOLE: usize = 64 * 1024;

/// Instances on EC2. Got from [`AwsCloud::aws_compute`](crate::AwsCloud::aws_compute); what only EC2 has is in the spec's
/// [`AwsInstance`].
///
/// - **Names** are the tag `Name`, and need not be unique.
/// - **Size.** At least so much stands for the smallest current type: by vCPUs, then memory, then a fixed order of families
///   with `t3` first. It is looked up once an hour. Prices are not compared.
/// - **Images.** `ubuntu-24.04`, `debian-12`, `amazon-linux-2023` and their other versions stand for the newest image that
///   their publishers name in Systems Manager.
/// - **Command.** It is installed by cloud-init as a service that starts at every boot, with the environment and the ports; its
///   output goes to the console. It needs an image with cloud-init and systemd.
/// - **Network.** Without a network, the default one. An instance gets a public address only if it is asked for, also where
///   the subnet would give it one.
/// - **Spot** instances are taken away for good and not replaced.
///
/// ```no_run
/// # use cloud_core::{ClientToken, Compute, InstanceSize, InstanceSpec, Region, Result};
/// # use cloud_aws::AwsCloud;
/// # async fn example(cloud: AwsCloud) -> Result<()> {
/// let mut spec = InstanceSpec::new("web-1", Region::new("eu-central-1")?);
/// spec.size = InstanceSize::Exact("t3.small".into());
/// spec.command = vec!["/usr/bin/python3".into(), "-m".into(), "http.server".into()];
/// let compute = cloud.aws_compute();
/// compute.check_create(&spec).await?;
/// let instance = compute.create_instance(&spec, &ClientToken::random()).await?;
/// # Ok(())
/// # }
/// ```
pub struct AwsCompute {
    account: Arc<Account>,
    types: Types,
}

impl fmt::Debug for AwsCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsCompute({})", self.account.id)
    }
}

impl AwsCompute {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone(), types: Types::default() }
    }

    pub(crate) fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities {
            names: names::TAGGED,
            unique_names: false,
            stop_start: true,
            reboot: true,
            console_output: true,
            zones: true,
            spot: true,
            enforced_limits: true,
        }
    }

    /// Asks EC2 whether it would make this instance, and makes nothing: a dry run, which checks the request and the rights, but
    /// neither quotas nor capacity. Dropping the future has no effect.
    ///
    /// # Errors
    /// What [`create_instance`](Compute::create_instance) would fail with, as far as it can be told before; never with an effect.
    ///
    /// ```no_run
    /// # use cloud_core::{InstanceSpec, Result};
    /// # use cloud_aws::AwsCompute;
    /// async fn may_create(compute: &AwsCompute, spec: &InstanceSpec) -> Result<()> {
    ///     compute.check_create(spec).await
    /// }
    /// ```
    pub async fn check_create(&self, spec: &InstanceSpec) -> Result<()> {
        self.dry_run(spec).await.map_err(self.account.in_call("compute.check_create"))
    }

    async fn dry_run(&self, spec: &InstanceSpec) -> Result<()> {
        spec.check(&self.capabilities())?;
        let settings = launch::check(&self.account, spec)?;
        let request = Request::new(ResourceKind::Instance, spec, &ClientToken::random())?;
        let run = launch::request(&self.account, &self.types, spec, &settings, &request).await?;
        match run.dry_run(true).send().await.map_err(reads("ec2")) {
            // A dry run always fails; with this code, it would have succeeded.
            Err(error) if has_code(&error, &["DryRunOperation"]) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(absent("refusal of the dry run")),
        }
    }

    /// Refuses to delete an instance from now on, or no longer. Repeating it does nothing. A dropped future may have had its
    /// effect.
    ///
    /// Source: [Change instance termination protection](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_ChangingDisableAPITermination.html).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_core::{Compute, ResourceId, Result};
    /// # use cloud_aws::AwsCompute;
    /// async fn delete_anyway(compute: &AwsCompute, id: &ResourceId) -> Result<bool> {
    ///     compute.set_delete_protection(id, false).await?;
    ///     compute.delete_instance(id).await
    /// }
    /// ```
    pub async fn set_delete_protection(&self, id: &ResourceId, protected: bool) -> Result<()> {
        self.protect(id, protected)
            .await
            .map_err(self.account.in_call("compute.set_delete_protection"))
    }

    async fn protect(&self, id: &ResourceId, protected: bool) -> Result<()> {
        names::check_instance_id(id)?;
        let value = AttributeBooleanValue::builder().value(protected).build();
        let request = self.account.ec2(&id.region)?.modify_instance_attribute();
        let request = request.instance_id(id.native()).disable_api_termination(value);
        request.send().await.map(drop).map_err(writes("ec2"))
    }

    async fn create(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance> {
        spec.check(&self.capabilities())?;
        let settings = launch::check(&self.account, spec)?;
        let run = |request: Request| async move {
            let run =
                launch::request(&self.account, &self.types, spec, &settings, &request).await?;
            match run.send().await.map_err(writes("ec2")) {
                Ok(answer) => {
                    let made = answer.instances().first().ok_or_else(|| absent("instance"))?;
                    view(&spec.region, made)
                }
                // The token of another spec; or of this one, for which another image, type or secret is resolved now.
                Err(error) if has_code(&error, &["IdempotentParameterMismatch"]) => {
                    self.made_by(&spec.region, &request).await?.ok_or(error)
                }
                Err(error) => Err(error),
            }
        };
        self.account.tokens.once(ResourceKind::Instance, spec, token, run).await
    }

    /// The instance that this very create made before.
    async fn made_by(&self, region: &Region, request: &Request) -> Result<Option<Instance>> {
        let tag = filter(&format!("tag:{REQUEST_TAG}"), [&*request.tag()]);
        let answer = self.account.ec2(region)?.describe_instances().filters(tag).send();
        let answer = answer.await.map_err(reads("ec2"))?;
        let found = answer.reservations().iter().flat_map(|r| r.instances()).next();
        found.map(|native| view(region, native)).transpose()
    }

    async fn get(&self, id: &ResourceId) -> Result<Instance> {
        names::check_instance_id(id)?;
        let request = self.account.ec2(&id.region)?.describe_instances();
        let answer = request.instance_ids(id.native()).send().await.map_err(reads("ec2"))?;
        let found = answer.reservations().iter().flat_map(|r| r.instances()).next();
        view(&id.region, found.ok_or_else(|| Error::not_found(id))?)
    }

    /// What is there and stays there, for what is done to it.
    async fn living(&self, id: &ResourceId) -> Result<Instance> {
        let instance = self.get(id).await?;
        match instance.status.is_gone() {
            true => Err(Error::not_found(id)),
            false => Ok(instance),
        }
    }

    async fn delete(&self, id: &ResourceId) -> Result<bool> {
        if let Err(error) = names::check_instance_id(id) {
            return if error.kind() == ErrorKind::NotFound { Ok(false) } else { Err(error) };
        }
        let request = self.account.ec2(&id.region)?.terminate_instances();
        let answer = match request.instance_ids(id.native()).send().await.map_err(writes("ec2")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            answer => answer?,
        };
        let before = answer.terminating_instances().first().and_then(|i| i.previous_state());
        let before = before.and_then(|state| state.name());
        let gone = [InstanceStateName::ShuttingDown, InstanceStateName::Terminated];
        Ok(!before.is_some_and(|before| gone.contains(before)))
    }

    async fn start(&self, id: &ResourceId) -> Result<()> {
        if matches!(&*self.living(id).await?.provider_status, "running" | "pending") {
            return Ok(());
        }
        let request = self.account.ec2(&id.region)?.start_instances();
        request.instance_ids(id.native()).send().await.map(drop).map_err(writes("ec2"))
    }

    async fn stop(&self, id: &ResourceId) -> Result<()> {
        if matches!(&*self.living(id).await?.provider_status, "stopped" | "stopping") {
            return Ok(());
        }
        let request = self.account.ec2(&id.region)?.stop_instances();
        request.instance_ids(id.native()).send().await.map(drop).map_err(writes("ec2"))
    }

    async fn reboot(&self, id: &ResourceId) -> Result<()> {
        let now = self.living(id).await?;
        if !now.status.is_ready() {
            let message = format!("{id} is {}, not running", now.provider_status);
            return Err(Error::new(ErrorKind::Conflict, message).with_resource(id.to_string()));
        }
        let request = self.account.ec2(&id.region)?.reboot_instances();
        request.instance_ids(id.native()).send().await.map(drop).map_err(writes("ec2"))
    }

    async fn console(&self, id: &ResourceId) -> Result<Bytes> {
        names::check_instance_id(id)?;
        let request = self.account.ec2(&id.region)?.get_console_output().instance_id(id.native());
        let latest = request.clone().latest(true).send().await.map_err(reads("ec2"));
        let answer = match latest {
            // Only types of the Nitro system give out what is not a snapshot of the last boot.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                request.send().await.map_err(reads("ec2"))?
            }
            answer => answer?,
        };
        let mut output = answer.output.unwrap_or_default();
        output.retain(|c| !c.is_ascii_whitespace());
        let output = BASE64_STANDARD.decode(output).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("the console output cannot be decoded: {e}"))
                .with_effect(cloud_core::Effect::None)
        })?;
        let output = Bytes::from(output);
        Ok(output.slice(output.len().saturating_sub(CONSOLE)..))
    }

    async fn native_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
        region: Region,
        token: Option<String>,
    ) -> Result<NativePage<Instance>> {
        let request = self.account.ec2(&region)?.describe_instances();
        let answer = request
            .set_filters(Some(filters(query.name.as_deref(), &query.tags)))
            .max_results(native_size(page, 5, 1000))
            .set_next_token(token)
            .send()
            .await
            .map_err(reads("ec2"))?;
        let found = answer.reservations().iter().flat_map(|r| r.instances());
        let mut found = found.map(|native| view(&region, native)).collect::<Result<Vec<_>>>()?;
        // EC2 lists them for an hour. A filter of its own would move others to other pages in the middle of a listing.
        found.retain(|instance| instance.status != ResourceStatus::Deleted);
        Ok((found, answer.next_token))
    }
}

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    let values = values.into_iter().map(str::to_owned).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// A text as the value of a filter, which knows wildcards
/// ([Filtering](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html)).
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

fn filters(name: Option<&str>, wanted: &Tags) -> Vec<Filter> {
    let name = name.map(|name| (tags::NAME_TAG, name));
    let wanted = wanted.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let all = wanted.chain(name);
    all.map(|(key, value)| filter(&format!("tag:{key}"), [&*literal(value)])).collect()
}

#[async_trait]
impl Compute for AwsCompute {
    async fn create_instance(&self, spec: &InstanceSpec, token: &ClientToken) -> Result<Instance> {
        let made = self.create(spec, token).await;
        made.map_err(self.account.in_call("compute.create_instance"))
    }

    async fn get_instance(&self, id: &ResourceId) -> Result<Instance> {
        self.get(id).await.map_err(self.account.in_call("compute.get_instance"))
    }

    async fn list_instances_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Instance>> {
        let listed = listing::regional(&self.account, query, page, |region, token| {
            self.native_page(query, page, region, token)
        });
        listed.await.map_err(self.account.in_call("compute.list_instances"))
    }

    async fn delete_instance(&self, id: &ResourceId) -> Result<bool> {
        self.delete(id).await.map_err(self.account.in_call("compute.delete_instance"))
    }

    async fn start_instance(&self, id: &ResourceId) -> Result<()> {
        self.start(id).await.map_err(self.account.in_call("compute.start_instance"))
    }

    async fn stop_instance(&self, id: &ResourceId) -> Result<()> {
        self.stop(id).await.map_err(self.account.in_call("compute.stop_instance"))
    }

    async fn reboot_instance(&self, id: &ResourceId) -> Result<()> {
        self.reboot(id).await.map_err(self.account.in_call("compute.reboot_instance"))
    }

    async fn console_output(&self, id: &ResourceId) -> Result<Bytes> {
        self.console(id).await.map_err(self.account.in_call("compute.console_output"))
    }

    async fn list_instance_types_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<InstanceType>> {
        let listed = self.types_page(query, page).await;
        listed.map_err(self.account.in_call("compute.list_instance_types"))
    }
}

impl AwsCompute {
    async fn types_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<InstanceType>> {
        let regions = match &query.region {
            Some(region) => {
                self.account.check_region(region)?;
                std::slice::from_ref(region)
            }
            None => self.account.regions(),
        };
        let name = query.name.as_deref();
        let size = native_size(page, 5, 100);
        let keep = |found: &InstanceType| name.is_none_or(|name| found.name == name);
        listing::over(
            regions,
            page,
            |found| &found.name,
            keep,
            |region, token| async move {
                let (offers, next) =
                    types::page(&self.account, region.clone(), name, size, token).await?;
                Ok((offers.into_iter().map(|offer| offer.view(&region)).collect(), next))
            },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_filter_is_no_pattern() {
        assert_eq!(literal(r"a*b?c\d"), r"a\*b\?c\\d");
    }
}
