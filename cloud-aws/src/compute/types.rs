//! Instance types: what a region has on offer, and the one that a size stands for.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ec2::types::{
    ArchitectureType, Filter, InstanceTypeInfo, LocationType, UsageClassType,
};
use cloud_core::{ByteSize, Error, InstanceSize, InstanceType, Region, Result};
use tokio::time::Instant;

use super::settings::Architecture;
use crate::{account::Account, error::reads, listing::NativePage};

/// How long an answer about what is on offer is taken for true. AWS adds types a few times a year.
const FRESH: Duration = Duration::from_secs(3600);

/// Families in the order in which they are preferred where vCPUs and memory are the same: those that share their processors
/// come first, as they cost the least; of these, `t3` first, which every zone has. Others follow by their name.
/// ([On-Demand pricing](https://aws.amazon.com/ec2/pricing/on-demand/))
const PREFERRED: [&str; 16] = [
    "t3", "t3a", "t4g", "t2", "m5", "m6i", "m6a", "m6g", "m7g", "c5", "c6i", "c6g", "c7g", "r5",
    "r6i", "r6g",
];

/// A type on offer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) name: String,
    pub(super) vcpu: u32,
    pub(super) memory: ByteSize,
    pub(super) gpu: u32,
    /// Whether it has cards of any kind.
    accelerated: bool,
    x86_64: bool,
    arm64: bool,
    spot: bool,
    on_demand: bool,
}

impl Offer {
    /// `None` for one of which AWS does not say how large it is.
    pub(super) fn read(info: &InstanceTypeInfo) -> Option<Self> {
        let runs = |wanted: &ArchitectureType| {
            let all = info.processor_info().map(|p| p.supported_architectures());
            all.is_some_and(|all| all.contains(wanted))
        };
        let gpus = info.gpu_info().map(|gpus| gpus.gpus()).unwrap_or_default();
        // A part of a card is none.
        let whole =
            gpus.iter().filter(|gpu| gpu.gpu_partition_size().is_none_or(|part| part >= 1.0));
        let gpu: i32 = whole.filter_map(|gpu| gpu.count()).sum();
        let memory = info.memory_info()?.size_in_mib()?;
        Some(Self {
            name: info.instance_type()?.as_str().to_owned(),
            vcpu: u32::try_from(info.v_cpu_info()?.default_v_cpus()?).ok()?,
            memory: ByteSize::mib(u64::try_from(memory).ok()?),
            gpu: u32::try_from(gpu).ok()?,
            accelerated: info.gpu_info().is_some()
                || info.fpga_info().is_some()
                || info.inference_accelerator_info().is_some()
                || info.neuron_info().is_some()
                || info.media_accelerator_info().is_some(),
            x86_64: runs(&ArchitectureType::X8664),
            arm64: runs(&ArchitectureType::Arm64),
            spot: info.supported_usage_classes().contains(&UsageClassType::Spot),
            on_demand: info.supported_usage_classes().contains(&UsageClassType::OnDemand),
        })
    }

    /// The processor's instruction set; of those that know 32 bits too, the one of 64.
    pub(super) fn architecture(&self) -> Option<Architecture> {
        match (self.x86_64, self.arm64) {
            (true, _) => Some(Architecture::X86_64),
            (_, true) => Some(Architecture::Arm64),
            _ => None,
        }
    }

    pub(super) fn view(self, region: &Region) -> InstanceType {
        let architecture = self.architecture().map(|a| a.as_str().to_owned());
        let Self { name, vcpu, memory, gpu, .. } = self;
        InstanceType { name, region: region.clone(), vcpu, memory, gpu, architecture }
    }

    fn fits(&self, want: &Want) -> bool {
        let architecture = match want.architecture {
            Architecture::X86_64 => self.x86_64,
            Architecture::Arm64 => self.arm64,
        };
        let sold = if want.spot { self.spot } else { self.on_demand };
        architecture
            && sold
            && self.vcpu >= want.vcpu
            && self.memory >= want.memory
            && self.gpu >= want.gpu
    }

    /// What is smaller costs less.
    fn cost(&self) -> impl Ord + '_ {
        let family = self.name.split('.').next().unwrap_or_default();
        let rank = PREFERRED.iter().position(|f| *f == family).unwrap_or(PREFERRED.len());
        (self.vcpu, self.memory, self.gpu, self.accelerated, rank, &self.name)
    }
}

/// Ranges of vCPUs that are asked for one after the other, as the smallest type is wanted and a region has hundreds. Beyond the
/// last, all are asked for.
const TIERS: [(u32, u32); 9] =
    [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 256)];

/// What a type must have.
#[derive(Clone, Debug)]
struct Want {
    vcpu: u32,
    memory: ByteSize,
    gpu: u32,
    architecture: Architecture,
    spot: bool,
}

/// The smallest that fits: by vCPUs, then memory, then cards, then the order of families.
fn choose<'a>(offers: impl IntoIterator<Item = &'a Offer>, want: &Want) -> Option<&'a Offer> {
    offers.into_iter().filter(|offer| offer.fits(want)).min_by(|a, b| a.cost().cmp(&b.cost()))
}

/// Answers that are taken for true for a while.
#[derive(Debug)]
struct Recent<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    async fn get(&self, key: K, ask: impl Future<Output = Result<V>>) -> Result<V> {
        let known = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, (at, _)| at.elapsed() < FRESH);
            known.get(&key).map(|(_, value)| value.clone())
        };
        if let Some(value) = known {
            return Ok(value);
        }
        let value = ask.await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (Instant::now(), value.clone()));
        Ok(value)
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A region, an architecture and one of the [`TIERS`]; `None` is all tiers.
type Range = (Region, Architecture, Option<(u32, u32)>);

/// What AWS has said of late about what it has on offer. Only what exists is remembered, so its size is bounded by AWS's range.
#[derive(Debug, Default)]
pub(super) struct Types {
    current: Recent<Range, Arc<[Offer]>>,
    single: Recent<(Region, String), Offer>,
    in_zone: Recent<(Region, String), Arc<HashSet<String>>>,
}

impl Types {
    /// The type that a size stands for, and its architecture where that is known or asked for.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) if there is none.
    pub(super) async fn resolve(
        &self,
        account: &Account,
        region: &Region,
        size: &InstanceSize,
        place: Place<'_>,
    ) -> Result<(String, Architecture)> {
        match size {
            InstanceSize::Exact(name) => match (place.architecture, place.architecture_matters) {
                (Some(architecture), _) => Ok((name.clone(), architecture)),
                (None, false) => Ok((name.clone(), Architecture::X86_64)),
                (None, true) => {
                    let key = (region.clone(), name.clone());
                    let offer = self.single.get(key, by_name(account, region, name)).await?;
                    let architecture = offer.architecture().ok_or_else(|| {
                        Error::invalid(
                            "size.exact",
                            format_args!("'{name}' has no processor of 64 bits"),
                            "a type that has one, or an image by its id",
                        )
                    })?;
                    Ok((name.clone(), architecture))
                }
            },
            InstanceSize::AtLeast { vcpu, memory, gpu } => {
                let want = Want {
                    vcpu: *vcpu,
                    memory: *memory,
                    gpu: *gpu,
                    architecture: place.architecture.unwrap_or(Architecture::X86_64),
                    spot: place.spot,
                };
                let name = self.at_least(account, region, &want, place.zone).await?;
                Ok((name, want.architecture))
            }
        }
    }

    async fn at_least(
        &self,
        account: &Account,
        region: &Region,
        want: &Want,
        zone: Option<&str>,
    ) -> Result<String> {
        let here = match zone {
            None => None,
            Some(zone) => {
                let key = (region.clone(), zone.to_owned());
                Some(self.in_zone.get(key, in_zone(account, region, zone)).await?)
            }
        };
        let tiers = TIERS.into_iter().filter(|(_, most)| *most >= want.vcpu).map(Some);
        for tier in tiers.chain([None]) {
            let key = (region.clone(), want.architecture, tier);
            let ask = current(account, region, want.architecture, tier);
            let offers = self.current.get(key, ask).await?;
            let offers = offers.iter();
            let offers = offers.filter(|o| here.as_ref().is_none_or(|all| all.contains(&o.name)));
            if let Some(chosen) = choose(offers, want) {
                return Ok(chosen.name.clone());
            }
        }
        let Want { vcpu, memory, gpu, architecture, .. } = want;
        let architecture = architecture.as_str();
        let place = zone.unwrap_or(region.as_str());
        Err(Error::invalid(
            "size.at_least",
            format_args!("is {vcpu} vCPUs, {memory} and {gpu} GPUs of {architecture}"),
            format_args!("a size that a current type on offer in {place} has"),
        ))
    }
}

/// What besides the size decides about the type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) zone: Option<&'a str>,
    pub(super) spot: bool,
    pub(super) architecture: Option<Architecture>,
    /// Whether something else depends on the architecture: an image that is named by its alias.
    pub(super) architecture_matters: bool,
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// The current types of a region on which an image with an EBS root can be started.
async fn current(
    account: &Account,
    region: &Region,
    architecture: Architecture,
    tier: Option<(u32, u32)>,
) -> Result<Arc<[Offer]>> {
    let vcpus = tier.map(|(least, most)| {
        let values = (least..=most).map(|n| n.to_string()).collect();
        Filter::builder().name("vcpu-info.default-vcpus").set_values(Some(values)).build()
    });
    let architecture = filter("processor-info.supported-architecture", architecture.as_str());
    let fixed = [
        ("current-generation", "true"),
        ("bare-metal", "false"),
        ("supported-root-device-type", "ebs"),
        ("supported-virtualization-type", "hvm"),
    ];
    let filters = fixed.into_iter().map(|(name, value)| filter(name, value));
    let mut found = account
        .ec2(region)?
        .describe_instance_types()
        .set_filters(Some(filters.chain([architecture]).chain(vcpus).collect()))
        .into_paginator()
        .items()
        .send();
    let mut offers = Vec::new();
    while let Some(info) = found.next().await {
        offers.extend(Offer::read(&info.map_err(reads("ec2"))?));
    }
    Ok(offers.into())
}

async fn by_name(account: &Account, region: &Region, name: &str) -> Result<Offer> {
    let (found, _) = page(account, region.clone(), Some(name), 100, None).await?;
    found.into_iter().find(|offer| offer.name == name).ok_or_else(|| {
        Error::invalid(
            "size.exact",
            format_args!("'{name}' is not on offer in {region}"),
            "a type of list_instance_types",
        )
    })
}

async fn in_zone(account: &Account, region: &Region, zone: &str) -> Result<Arc<HashSet<String>>> {
    let mut found = account
        .ec2(region)?
        .describe_instance_type_offerings()
        .location_type(LocationType::AvailabilityZone)
        .filters(filter("location", zone))
        .into_paginator()
        .items()
        .send();
    let mut names = HashSet::new();
    while let Some(offering) = found.next().await {
        let offering = offering.map_err(reads("ec2"))?;
        names.extend(offering.instance_type().map(|name| name.as_str().to_owned()));
    }
    if names.is_empty() {
        let known = crate::vpc::zones(account, region).await?;
        let known: Vec<_> = known.iter().map(|zone| zone.as_str()).collect();
        return Err(Error::invalid("zone", format_args!("is '{zone}'"), known.join(", ")));
    }
    Ok(Arc::new(names))
}

/// One page of the types of a region, of this name if any, as AWS gives it.
pub(super) async fn page(
    account: &Account,
    region: Region,
    name: Option<&str>,
    size: i32,
    token: Option<String>,
) -> Result<NativePage<Offer>> {
    let mut request =
        account.ec2(&region)?.describe_instance_types().max_results(size).set_next_token(token);
    if let Some(name) = name {
        request = request.filters(filter("instance-type", &super::literal(name)));
    }
    let answer = request.send().await.map_err(reads("ec2"))?;
    let offers = answer.instance_types().iter().filter_map(Offer::read).collect();
    Ok((offers, answer.next_token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(name: &str, vcpu: u32, gib: u64, gpu: u32) -> Offer {
        Offer {
            name: name.into(),
            vcpu,
            memory: ByteSize::gib(gib),
            gpu,
            accelerated: gpu > 0,
            x86_64: !name.contains("g."),
            arm64: name.contains("g."),
            spot: name != "m5.large",
            on_demand: true,
        }
    }

    fn want(vcpu: u32, gib: u64, gpu: u32) -> Want {
        let memory = ByteSize::gib(gib);
        Want { vcpu, memory, gpu, architecture: Architecture::X86_64, spot: false }
    }

    fn range() -> Vec<Offer> {
        vec![
            offer("c5.large", 2, 4, 0),
            offer("t3a.medium", 2, 4, 0),
            offer("t3.medium", 2, 4, 0),
            offer("t4g.medium", 2, 4, 0),
            offer("m5.large", 2, 8, 0),
            offer("t3.xlarge", 4, 16, 0),
            offer("g4dn.xlarge", 4, 16, 1),
            offer("a1x.xlarge", 4, 16, 0),
        ]
    }

    #[test]
    fn the_smallest_is_chosen_and_of_equals_the_preferred_family() {
        let offers = range();
        let name = |want: Want| choose(&offers, &want).map(|offer| offer.name.as_str());
        assert_eq!(name(want(1, 1, 0)), Some("t3.medium"));
        assert_eq!(name(want(2, 5, 0)), Some("m5.large"));
        assert_eq!(name(Want { spot: true, ..want(2, 5, 0) }), Some("t3.xlarge"));
        assert_eq!(name(want(1, 1, 1)), Some("g4dn.xlarge"));
        assert_eq!(name(want(5, 1, 0)), None);
        let arm = Want { architecture: Architecture::Arm64, ..want(1, 1, 0) };
        assert_eq!(name(arm), Some("t4g.medium"));
    }

    proptest! {
        #[test]
        fn what_is_chosen_fits_and_nothing_smaller_does(
            sizes in prop::collection::vec((1u32..9, 1u64..33, 0u32..2), 0..12),
            (vcpu, gib, gpu) in (1u32..9, 1u64..33, 0u32..2),
        ) {
            let offers: Vec<_> = sizes.iter().enumerate()
                .map(|(i, (vcpu, gib, gpu))| offer(&format!("x{i}.large"), *vcpu, *gib, *gpu)).collect();
            let want = want(vcpu, gib, gpu);
            let fitting: Vec<_> = offers.iter().filter(|o| o.fits(&want)).collect();
            match choose(&offers, &want) {
                None => prop_assert!(fitting.is_empty()),
                Some(chosen) => {
                    prop_assert!(chosen.vcpu >= vcpu && chosen.memory >= ByteSize::gib(gib) && chosen.gpu >= gpu);
                    prop_assert!(fitting.iter().all(|o| (o.vcpu, o.memory) >= (chosen.vcpu, chosen.memory)));
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_once_an_hour_and_an_error_is_not_kept() {
        let recent = Recent::default();
        let fails = async { Err::<u8, _>(Error::not_found("x")) };
        assert!(recent.get("a", fails).await.is_err());
        assert_eq!(recent.get("a", async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(recent.get("a", async { Ok(2) }).await.unwrap(), 1);
        assert_eq!(recent.get("b", async { Ok(3) }).await.unwrap(), 3);
        tokio::time::advance(FRESH).await;
        assert_eq!(recent.get("a", async { Ok(4) }).await.unwrap(), 4);
    }
}
