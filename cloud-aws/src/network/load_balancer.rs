//! Load balancers for HTTP and for TCP, with their listeners.

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{
        Action, ActionTypeEnum, Certificate, Listener, LoadBalancer as SdkLoadBalancer,
        LoadBalancerSchemeEnum, LoadBalancerStateEnum, LoadBalancerTypeEnum, Tag,
    },
};
use cloud_core::{
    ClientToken, Error, ErrorKind, Region, ResourceId, ResourceKind, ResourceStatus, Result, Tags,
    WaitOptions, wait_until,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsNetwork, BalancerProtocol,
    ec2::{check_id, check_named, deleted, found, may_have, one},
    elb::{Arn, SERVICE, all_tags, check_name, named_tags, tags_of},
};
use crate::{
    error::{absent, has_code, reads, writes},
    tags, time,
    tokens::Request,
};

/// What a load balancer balances.
///
/// ```
/// # use cloud_aws::BalancerKind;
/// let kind: BalancerKind = serde_json::from_str("\"network\"").unwrap();
/// assert_eq!(kind, BalancerKind::Network);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerKind {
    /// HTTP requests.
    Application,
    /// Connections.
    Network,
}

/// A request for a load balancer
/// ([CreateLoadBalancer](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html)).
///
/// **It costs by the hour**, and by what it has to do.
///
/// ```
/// # use cloud_aws::{BalancerKind, LoadBalancerSpec};
/// # use cloud_core::Region;
/// let region = Region::new("us-east-1").unwrap();
/// let subnets = ["subnet-0a1b2c3d", "subnet-1a1b2c3d"];
/// let spec = LoadBalancerSpec::new("web", region, BalancerKind::Application, subnets);
/// assert!(spec.validate().is_ok() && !spec.internet_facing);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancerSpec {
    /// Its name, of at most 32 letters, digits and hyphens, unique in the region.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// What it balances.
    pub kind: BalancerKind,
    /// Its subnets, by AWS's ids: one of each zone, for [`Application`](BalancerKind::Application) of at least two zones.
    pub subnets: Vec<String>,
    /// Opt-in to being reached from the internet. Default: from its network only.
    #[serde(default)]
    pub internet_facing: bool,
    /// Its firewalls; none leaves it to the network's default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<ResourceId>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl LoadBalancerSpec {
    /// One that is reached from its network only.
    pub fn new(
        name: impl Into<String>,
        region: Region,
        kind: BalancerKind,
        subnets: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            region,
            kind,
            subnets: subnets.into_iter().map(Into::into).collect(),
            internet_facing: false,
            firewalls: Vec::new(),
            tags: Tags::default(),
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("load balancer name", &self.name)?;
        check_named(&self.tags)?;
        let least = if self.kind == BalancerKind::Application { 2 } else { 1 };
        if self.subnets.len() < least {
            let problem = format!("are {}", self.subnets.len());
            return Err(Error::invalid(
                "subnets",
                problem,
                format_args!("at least {least}, each of another zone"),
            ));
        }
        self.subnets.iter().try_for_each(|id| check_id("subnet", id))?;
        for firewall in &self.firewalls {
            firewall.expect_kind(ResourceKind::Firewall)?;
            check_id("sg", firewall.native())?;
            if firewall.region != self.region {
                let problem = format!("has {firewall}");
                return Err(Error::invalid("firewalls", problem, "firewalls of its region"));
            }
        }
        Ok(())
    }
}

/// A load balancer, as AWS reports it.
///
/// ```
/// # use cloud_aws::LoadBalancer;
/// fn url(balancer: &LoadBalancer) -> String { format!("https://{}/", balancer.dns_name) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// AWS's id of it.
    pub arn: String,
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// What it balances; `None` for what is not known here.
    pub kind: Option<BalancerKind>,
    /// Whether it is reached from the internet.
    pub internet_facing: bool,
    /// The name under which it is reached.
    pub dns_name: String,
    /// The hosted zone of that name, for an alias record.
    pub dns_zone: Option<String>,
    /// Its network.
    pub network: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

fn view(region: &Region, balancer: &SdkLoadBalancer, tags: Tags) -> Result<LoadBalancer> {
    let id = |vpc: &str| ResourceId::new(ResourceKind::Network, region.clone(), vpc);
    Ok(LoadBalancer {
        arn: balancer.load_balancer_arn().ok_or_else(|| absent("LoadBalancerArn"))?.to_owned(),
        region: region.clone(),
        name: balancer.load_balancer_name().unwrap_or_default().to_owned(),
        status: match balancer.state().and_then(|state| state.code()) {
            Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired) => {
                ResourceStatus::Running
            }
            Some(LoadBalancerStateEnum::Provisioning) => ResourceStatus::Creating,
            Some(LoadBalancerStateEnum::Failed) => ResourceStatus::Failed,
            _ => ResourceStatus::Unknown,
        },
        kind: match balancer.r#type() {
            Some(LoadBalancerTypeEnum::Application) => Some(BalancerKind::Application),
            Some(LoadBalancerTypeEnum::Network) => Some(BalancerKind::Network),
            _ => None,
        },
        internet_facing: balancer.scheme() == Some(&LoadBalancerSchemeEnum::InternetFacing),
        dns_name: balancer.dns_name().unwrap_or_default().to_owned(),
        dns_zone: balancer.canonical_hosted_zone_id().map(str::to_owned),
        network: balancer.vpc_id().map(id).transpose()?,
        tags,
        created_at: balancer.created_time().and_then(time::timestamp),
    })
}

/// A request for a listener: what reaches this port goes to this group
/// ([CreateListener](https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html)).
///
/// ```
/// # use cloud_aws::{BalancerProtocol, ListenerSpec};
/// let balancer = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c49";
/// let group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc";
/// let mut spec = ListenerSpec::new(balancer, BalancerProtocol::Https, 443, group);
/// assert!(spec.validate().unwrap_err().to_string().contains("certificate"));
/// spec.certificate = Some("arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d".into());
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// The load balancer, by its ARN.
    pub load_balancer: String,
    /// What is spoken with the clients.
    pub protocol: BalancerProtocol,
    /// The port.
    pub port: u16,
    /// The target group, by its ARN.
    pub target_group: String,
    /// The certificate, by its ARN; with HTTPS and TLS, and only with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl ListenerSpec {
    /// A listener without a certificate.
    pub fn new(
        load_balancer: impl Into<String>,
        protocol: BalancerProtocol,
        port: u16,
        target_group: impl Into<String>,
    ) -> Self {
        Self {
            load_balancer: load_balancer.into(),
            protocol,
            port,
            target_group: target_group.into(),
            certificate: None,
        }
    }

    /// Refuses what AWS does not take.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        let region = Arn::LoadBalancer.region(&self.load_balancer)?;
        if Arn::TargetGroup.region(&self.target_group)? != region {
            let problem = format!("is '{}'", self.target_group);
            return Err(Error::invalid("target_group", problem, "one of the balancer's region"));
        }
        if self.port == 0 {
            return Err(Error::invalid("port", "is 0", "1 to 65535"));
        }
        let (given, needed) = (self.certificate.is_some(), self.protocol.has_certificate());
        if given != needed {
            let problem = if needed { "is absent" } else { "is given" };
            return Err(Error::invalid("certificate", problem, "one with https and tls only"));
        }
        match &self.certificate {
            Some(arn) if !arn.starts_with("arn:") => {
                let problem = format!("is '{}'", arn.escape_debug());
                Err(Error::invalid("certificate", problem, "arn:aws:acm:… or arn:aws:iam:…"))
            }
            _ => Ok(()),
        }
    }
}

/// A listener, as AWS reports it.
///
/// ```
/// # use cloud_aws::BalancerListener;
/// fn port(listener: &BalancerListener) -> u16 { listener.port.unwrap_or_default() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerListener {
    /// AWS's id of it.
    pub arn: String,
    /// Its load balancer.
    pub load_balancer: String,
    /// What is spoken with the clients; `None` for what is not known here.
    pub protocol: Option<BalancerProtocol>,
    /// The port.
    pub port: Option<u16>,
    /// The target group that it sends to, if it sends to one.
    pub target_group: Option<String>,
}

fn listener_view(listener: &Listener) -> BalancerListener {
    let forwards = listener.default_actions().iter().find_map(|action| action.target_group_arn());
    BalancerListener {
        arn: listener.listener_arn().unwrap_or_default().to_owned(),
        load_balancer: listener.load_balancer_arn().unwrap_or_default().to_owned(),
        protocol: BalancerProtocol::read(listener.protocol()),
        port: listener.port().and_then(|port| u16::try_from(port).ok()),
        target_group: forwards.map(str::to_owned),
    }
}

async fn make(elb: &Client, spec: &LoadBalancerSpec, request: &Request) -> Result<SdkLoadBalancer> {
    let firewalls = spec.firewalls.iter().map(|firewall| firewall.native().to_owned());
    let firewalls: Vec<_> = firewalls.collect();
    let call = elb
        .create_load_balancer()
        .name(&spec.name)
        .r#type(match spec.kind {
            BalancerKind::Application => LoadBalancerTypeEnum::Application,
            BalancerKind::Network => LoadBalancerTypeEnum::Network,
        })
        .scheme(match spec.internet_facing {
            true => LoadBalancerSchemeEnum::InternetFacing,
            false => LoadBalancerSchemeEnum::Internal,
        })
        .set_subnets(Some(spec.subnets.clone()))
        .set_security_groups((!firewalls.is_empty()).then_some(firewalls))
        .set_tags(Some(named_tags(&spec.name, &spec.tags, request)?));
    let answer = call.send().await.map_err(writes(SERVICE))?;
    let made = answer.load_balancers.unwrap_or_default().into_iter().next();
    made.ok_or_else(|| absent("LoadBalancers"))
}

async fn balancer(elb: &Client, arn: &str) -> Result<SdkLoadBalancer> {
    let answer = elb.describe_load_balancers().load_balancer_arns(arn).send().await;
    let all = answer.map_err(reads(SERVICE))?.load_balancers.unwrap_or_default();
    one(all, "load balancer", arn)
}

async fn listeners(elb: &Client, balancer: &str) -> Result<Vec<Listener>> {
    let pages = elb.describe_listeners().load_balancer_arn(balancer).into_paginator();
    pages.items().send().try_collect().await.map_err(reads(SERVICE))
}

impl AwsNetwork {
    /// Creates a load balancer. **It costs by the hour** until it is deleted. It is [`Creating`](ResourceStatus::Creating) for
    /// some minutes; see [`wait_for_load_balancer`](Self::wait_for_load_balancer).
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the region has one of its name, [`InvalidInput`](ErrorKind::InvalidInput)
    /// for subnets of too few zones, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, BalancerKind, BalancerProtocol, ListenerSpec, LoadBalancerSpec};
    /// # use cloud_core::{ClientToken, Region, Result};
    /// async fn web(aws: &AwsCloud, region: Region, subnets: [&str; 2], group: &str) -> Result<String> {
    ///     let network = aws.aws_network();
    ///     let spec = LoadBalancerSpec::new("web", region, BalancerKind::Application, subnets);
    ///     let made = network.create_load_balancer(&spec, &ClientToken::random()).await?;
    ///     let listener = ListenerSpec::new(&made.arn, BalancerProtocol::Http, 80, group);
    ///     network.create_listener(&listener, &ClientToken::random()).await?;
    ///     Ok(made.dns_name)
    /// }
    /// ```
    pub async fn create_load_balancer(
        &self,
        spec: &LoadBalancerSpec,
        token: &ClientToken,
    ) -> Result<LoadBalancer> {
        let made = async {
            spec.validate()?;
            let elb = &self.account.elbv2(&spec.region)?;
            self.once("load balancer", spec, token, |request| async move {
                if spec.kind == BalancerKind::Application {
                    self.check_zones(spec).await?;
                }
                let (balancer, taken) = match make(elb, spec, &request).await {
                    Ok(balancer) => (balancer, None),
                    Err(error) if has_code(&error, &["DuplicateLoadBalancerName"]) => {
                        let call = elb.describe_load_balancers().names(&spec.name);
                        let answer = call.send().await.map_err(reads(SERVICE))?;
                        let there = answer.load_balancers.unwrap_or_default();
                        (one(there, "load balancer", &spec.name)?, Some(error))
                    }
                    Err(error) => return Err(error),
                };
                // AWS answers with what is there if another create made it just so.
                let arn = balancer.load_balancer_arn().unwrap_or_default();
                let (tags, tag) = tags_of(elb, arn).await.map_err(may_have)?;
                match request.made(tag.as_deref())? {
                    true => view(&spec.region, &balancer, tags),
                    false => Err(taken.unwrap_or_else(|| {
                        let message = format!("the load balancer '{}' exists", spec.name);
                        Error::new(ErrorKind::AlreadyExists, message)
                    })),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_load_balancer"))
    }

    async fn check_zones(&self, spec: &LoadBalancerSpec) -> Result<()> {
        let call = self.account.ec2(&spec.region)?.describe_subnets();
        let call = call.set_subnet_ids(Some(spec.subnets.clone()));
        let subnets = call.send().await.map_err(reads("ec2"))?.subnets.unwrap_or_default();
        let mut zones: Vec<_> = subnets.iter().filter_map(|s| s.availability_zone()).collect();
        zones.sort_unstable();
        zones.dedup();
        match zones.len() == spec.subnets.len() && zones.len() >= 2 {
            true => Ok(()),
            false => {
                let problem = format!("are in the zones {}", zones.join(", "));
                Err(Error::invalid("subnets", problem, "one of each of at least two zones"))
            }
        }
    }

    /// One load balancer, by its ARN.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn get_load_balancer(&self, arn: &str) -> Result<LoadBalancer> {
        let read = async {
            let region = Arn::LoadBalancer.region(arn)?;
            let elb = self.account.elbv2(&region)?;
            let there = balancer(&elb, arn).await?;
            view(&region, &there, tags_of(&elb, arn).await?.0)
        };
        read.await.map_err(self.account.in_call("network.get_load_balancer"))
    }

    /// The load balancers of a region.
    ///
    /// # Errors
    /// Any.
    pub async fn list_load_balancers(&self, region: &Region) -> Result<Vec<LoadBalancer>> {
        let read = async {
            let elb = self.account.elbv2(region)?;
            let pages = elb.describe_load_balancers().into_paginator().items().send();
            let all: Vec<_> = pages.try_collect().await.map_err(reads(SERVICE))?;
            let arns = all.iter().filter_map(|balancer| balancer.load_balancer_arn());
            let tags = all_tags(&elb, arns).await?;
            let of = |balancer: &SdkLoadBalancer| {
                tags.get(balancer.load_balancer_arn().unwrap_or_default()).cloned()
            };
            let views = all.iter().map(|one| view(region, one, of(one).unwrap_or_default()));
            views.collect::<Result<Vec<_>>>()
        };
        read.await.map_err(self.account.in_call("network.list_load_balancers"))
    }

    /// Waits until a load balancer is in service.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it fails, [`Timeout`](ErrorKind::Timeout), [`Cancelled`](ErrorKind::Cancelled), or any.
    pub async fn wait_for_load_balancer(
        &self,
        arn: &str,
        options: &WaitOptions,
    ) -> Result<LoadBalancer> {
        wait_until(&format!("the load balancer {arn}"), options, || async {
            let now = self.get_load_balancer(arn).await?;
            match now.status {
                ResourceStatus::Failed => {
                    Err(Error::new(ErrorKind::Internal, format!("{arn} has failed")))
                }
                status => Ok(status.is_ready().then_some(now)),
            }
        })
        .await
    }

    /// Deletes a load balancer and its listeners, not its target groups. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if it is protected from deletion, or any.
    pub async fn delete_load_balancer(&self, arn: &str) -> Result<bool> {
        let gone = async {
            let elb = self.account.elbv2(&Arn::LoadBalancer.region(arn)?)?;
            // Deleting what is not there succeeds.
            if found(balancer(&elb, arn).await.map(|one| vec![one]))?.is_empty() {
                return Ok(false);
            }
            let call = elb.delete_load_balancer().load_balancer_arn(arn).send().await;
            deleted(call.map(drop).map_err(writes(SERVICE)))
        };
        gone.await.map_err(self.account.in_call("network.delete_load_balancer"))
    }

    /// Creates a listener.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the balancer has one on its port, [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn create_listener(
        &self,
        spec: &ListenerSpec,
        token: &ClientToken,
    ) -> Result<BalancerListener> {
        let made = async {
            spec.validate()?;
            let elb = &self.account.elbv2(&Arn::LoadBalancer.region(&spec.load_balancer)?)?;
            self.once("listener", spec, token, |request| async move {
                let certificate = spec
                    .certificate
                    .as_ref()
                    .map(|arn| vec![Certificate::builder().certificate_arn(arn).build()]);
                let forward = Action::builder()
                    .r#type(ActionTypeEnum::Forward)
                    .target_group_arn(&spec.target_group)
                    .build();
                let pairs = tags::for_create(&Tags::default(), &request)?.into_iter();
                let pairs = pairs.map(|(key, value)| Tag::builder().key(key).value(value).build());
                let call = elb
                    .create_listener()
                    .load_balancer_arn(&spec.load_balancer)
                    .protocol(spec.protocol.sdk())
                    .port(spec.port.into())
                    .set_certificates(certificate)
                    .default_actions(forward)
                    .set_tags(Some(pairs.collect()));
                let (made, taken) = match call.send().await.map_err(writes(SERVICE)) {
                    Ok(answer) => (answer.listeners.unwrap_or_default(), None),
                    Err(error) if has_code(&error, &["DuplicateListener"]) => {
                        let mut there = listeners(elb, &spec.load_balancer).await?;
                        there.retain(|listener| listener.port() == Some(spec.port.into()));
                        (there, Some(error))
                    }
                    Err(error) => return Err(error),
                };
                let listener = made.first().ok_or_else(|| absent("Listeners"))?;
                let arn = listener.listener_arn().unwrap_or_default();
                let tag = tags_of(elb, arn).await.map_err(may_have)?.1;
                match request.made(tag.as_deref())? {
                    true => Ok(listener_view(listener)),
                    false => Err(taken.unwrap_or_else(|| {
                        let message = format!("port {} has a listener", spec.port);
                        Error::new(ErrorKind::AlreadyExists, message)
                    })),
                }
            })
            .await
        };
        made.await.map_err(self.account.in_call("network.create_listener"))
    }

    /// The listeners of a load balancer.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), or any.
    pub async fn list_listeners(&self, load_balancer: &str) -> Result<Vec<BalancerListener>> {
        let read = async {
            let elb = self.account.elbv2(&Arn::LoadBalancer.region(load_balancer)?)?;
            Ok(listeners(&elb, load_balancer).await?.iter().map(listener_view).collect())
        };
        read.await.map_err(self.account.in_call("network.list_listeners"))
    }

    /// Deletes a listener. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    pub async fn delete_listener(&self, arn: &str) -> Result<bool> {
        let gone = async {
            let elb = self.account.elbv2(&Arn::Listener.region(arn)?)?;
            let call = elb.delete_listener().listener_arn(arn).send().await;
            deleted(call.map(drop).map_err(writes(SERVICE)))
        };
        gone.await.map_err(self.account.in_call("network.delete_listener"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCER: &str =
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc";
    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2";

    #[test]
    fn what_aws_refuses_is_refused_by_its_field() {
        let region = Region::new("us-east-1").unwrap();
        let spec = |kind, subnets: &[&str]| {
            LoadBalancerSpec::new("web", region.clone(), kind, subnets.to_vec())
        };
        assert!(spec(BalancerKind::Application, &["subnet-1"]).validate().is_err());
        assert!(spec(BalancerKind::Network, &["subnet-1"]).validate().is_ok());
        assert!(spec(BalancerKind::Network, &[]).validate().is_err());
        let mut elsewhere = spec(BalancerKind::Network, &["subnet-1"]);
        elsewhere.firewalls = vec!["firewall/eu-west-1/sg-1".parse().unwrap()];
        assert!(elsewhere.validate().unwrap_err().to_string().contains("of its region"));
        let mut listener = ListenerSpec::new(BALANCER, BalancerProtocol::Http, 80, GROUP);
        assert!(listener.validate().is_ok());
        listener.certificate = Some("arn:aws:acm:x".into());
        assert!(listener.validate().unwrap_err().to_string().contains("certificate is given"));
        let text = r#"{"name": "web", "region": "us-east-1", "kind": "network", "subnets": ["subnet-1"], "internet": true}"#;
        assert!(serde_json::from_str::<LoadBalancerSpec>(text).is_err());
    }
}
