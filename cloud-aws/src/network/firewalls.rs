//! Firewalls: security groups with exactly the rules of their spec.

use aws_sdk_ec2::{
    Client,
    types::{IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup},
};
use cloud_core::{
    ClientToken, Direction, Error, Firewall, FirewallRule, FirewallSpec, ListQuery, Page,
    PageRequest, Protocol, Region, ResourceId, ResourceKind, ResourceStatus, Result,
};
use ipnet::IpNet;

use super::{
    AwsNetwork,
    ec2::{Tagged, check_id, check_named, deleted, filter, may_have, one, tag_filters, undo},
};
use crate::{
    error::{absent, has_code, reads, writes},
    listing,
    tokens::Request,
};

/// The most rules that AWS lets a quota be raised to; by default it is 60 in each direction and for each family of addresses
/// ([Amazon VPC quotas](https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html)).
const MOST_RULES: usize = 1000;

/// A rule as EC2 counts them: one block of addresses each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    direction: Direction,
    protocol: Protocol,
    ports: Option<(u16, u16)>,
    peer: IpNet,
}

impl Allowed {
    /// EC2's default of a new group, which lets everything out.
    fn is_default(&self) -> bool {
        let all = self.peer.prefix_len() == 0 && matches!(self.protocol, Protocol::All);
        all && matches!(self.direction, Direction::Egress)
    }

    fn permission(&self) -> IpPermission {
        let v4 = matches!(self.peer, IpNet::V4(_));
        let (name, ports) = match self.protocol {
            Protocol::Tcp => ("tcp", Some(self.ports.unwrap_or((0, u16::MAX)))),
            Protocol::Udp => ("udp", Some(self.ports.unwrap_or((0, u16::MAX)))),
            Protocol::Icmp if v4 => ("icmp", None),
            Protocol::Icmp => ("icmpv6", None),
            Protocol::All => ("-1", None),
        };
        let every = (self.protocol == Protocol::Icmp).then_some((-1, -1));
        let ports = ports.map(|(first, last)| (i32::from(first), i32::from(last))).or(every);
        let peer = self.peer.to_string();
        let permission = IpPermission::builder()
            .ip_protocol(name)
            .set_from_port(ports.map(|(first, _)| first))
            .set_to_port(ports.map(|(_, last)| last));
        match v4 {
            true => permission.ip_ranges(IpRange::builder().cidr_ip(peer).build()),
            false => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(peer).build()),
        }
        .build()
    }
}

/// The rules of a spec one by one, each once. Host bits of a block mean nothing to EC2.
fn wanted(rules: &[FirewallRule]) -> Vec<Allowed> {
    let mut all = Vec::new();
    for rule in rules {
        for peer in &rule.peers {
            let one = Allowed {
                direction: rule.direction,
                protocol: rule.protocol,
                ports: rule.ports.filter(|ports| *ports != (0, u16::MAX)),
                peer: peer.trunc(),
            };
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

/// The rules of a group one by one. One that names groups or prefix lists, or another protocol, cannot be said here and is left out.
fn allowed(group: &SecurityGroup) -> Vec<Allowed> {
    let ways = [
        (Direction::Ingress, group.ip_permissions()),
        (Direction::Egress, group.ip_permissions_egress()),
    ];
    let mut all = Vec::new();
    for (direction, permissions) in ways {
        for permission in permissions {
            let protocol = match permission.ip_protocol().unwrap_or_default() {
                "tcp" | "6" => Protocol::Tcp,
                "udp" | "17" => Protocol::Udp,
                "icmp" | "1" | "icmpv6" | "58" => Protocol::Icmp,
                "-1" => Protocol::All,
                _ => continue,
            };
            let ports = match (protocol, permission.from_port(), permission.to_port()) {
                (Protocol::Tcp | Protocol::Udp, Some(first), Some(last)) => {
                    u16::try_from(first).ok().zip(u16::try_from(last).ok())
                }
                _ => None,
            };
            let ports = ports.filter(|ports| *ports != (0, u16::MAX));
            let four = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
            let six = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
            let peers = four.chain(six).filter_map(|peer| peer.parse().ok());
            all.extend(peers.map(|peer| Allowed { direction, protocol, ports, peer }));
        }
    }
    all
}

/// Rules with the same ports are one rule with several peers.
fn rules(group: &SecurityGroup) -> Vec<FirewallRule> {
    let mut rules: Vec<FirewallRule> = Vec::new();
    for Allowed { direction, protocol, ports, peer } in allowed(group) {
        let same = rules.iter_mut().find(|rule| {
            (rule.direction, rule.protocol, rule.ports) == (direction, protocol, ports)
        });
        match same {
            Some(rule) if rule.peers.contains(&peer) => {}
            Some(rule) => rule.peers.push(peer),
            None => rules.push(FirewallRule { direction, protocol, ports, peers: vec![peer] }),
        }
    }
    rules
}

fn view(region: &Region, group: &SecurityGroup) -> Result<Firewall> {
    Ok(Firewall {
        id: listing::id(ResourceKind::Firewall, region, group.native())?,
        name: group.group_name().unwrap_or_default().to_owned(),
        status: ResourceStatus::Running,
        network: listing::id(
            ResourceKind::Network,
            region,
            group.vpc_id().ok_or_else(|| absent("VpcId"))?,
        )?,
        rules: rules(group),
        tags: Tagged::tags(group),
        created_at: None,
    })
}

/// What AWS says of the names and the number of rules besides
/// ([CreateSecurityGroup](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html)).
fn check(spec: &FirewallSpec) -> Result<()> {
    let name = spec.name.to_ascii_lowercase();
    if name.starts_with("sg-") || name == "default" {
        let problem = format!("is '{}'", spec.name);
        return Err(Error::invalid("firewall name", problem, "neither 'default' nor 'sg-…'"));
    }
    let all = wanted(&spec.rules);
    for direction in [Direction::Ingress, Direction::Egress] {
        for v4 in [true, false] {
            let of = |one: &&Allowed| {
                one.direction == direction && matches!(one.peer, IpNet::V4(_)) == v4
            };
            let count = all.iter().filter(of).count();
            if count > MOST_RULES {
                let rule = format!(
                    "at most {MOST_RULES} in a direction for each family of addresses, each peer counted"
                );
                return Err(Error::invalid("rules", format_args!("are {count}"), rule));
            }
        }
    }
    check_named(&spec.tags)
}

async fn group(ec2: &Client, id: &str) -> Result<SecurityGroup> {
    check_id("sg", id)?;
    let answer = ec2.describe_security_groups().group_ids(id).send().await.map_err(reads("ec2"))?;
    one(answer.security_groups.unwrap_or_default(), "security group", id)
}

async fn delete(ec2: &Client, id: &str) -> Result<()> {
    ec2.delete_security_group().group_id(id).send().await.map_err(writes("ec2"))?;
    Ok(())
}

impl AwsNetwork {
    pub(super) async fn create_group(
        &self,
        spec: &FirewallSpec,
        token: &ClientToken,
    ) -> Result<Firewall> {
        spec.validate()?;
        self.capabilities().names.check("firewall name", &spec.name)?;
        check(spec)?;
        let region = &spec.network.region;
        check_id("vpc", spec.network.native())?;
        let ec2 = self.account.ec2(region)?;
        let tokens = &self.account.tokens;
        tokens
            .once(ResourceKind::Firewall, spec, token, |request| async move {
                let (id, fresh) = find_or_make(&ec2, spec, &request).await?;
                match complete(&ec2, spec, &id).await {
                    Ok(group) => view(region, &group),
                    Err(error) => Err(undo(error, fresh, delete(&ec2, &id)).await),
                }
            })
            .await
    }

    pub(super) async fn get_group(&self, id: &ResourceId) -> Result<Firewall> {
        id.expect_kind(ResourceKind::Firewall)?;
        let ec2 = self.account.ec2(&id.region)?;
        view(&id.region, &group(&ec2, id.native()).await?)
    }

    pub(super) async fn list_groups(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Firewall>> {
        let size = listing::native_size(page, 5, 1000);
        listing::regional(&self.account, query, page, |region, token| async move {
            let ec2 = self.account.ec2(&region)?;
            let call = ec2.describe_security_groups().set_filters(Some(tag_filters(query)));
            let call = call.max_results(size).set_next_token(token);
            let answer = call.send().await.map_err(reads("ec2"))?;
            let groups = answer.security_groups.unwrap_or_default();
            let views = groups.iter().filter(|group| group.vpc_id().is_some());
            let views = views.map(|group| view(&region, group)).collect::<Result<_>>()?;
            Ok((views, answer.next_token))
        })
        .await
    }

    pub(super) async fn delete_group(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::Firewall)?;
        check_id("sg", id.native())?;
        deleted(delete(&self.account.ec2(&id.region)?, id.native()).await)
    }
}

/// The id of the group that this create makes, and whether it was made just now. A name is unique in its network, so nothing
/// has to be looked up before.
async fn find_or_make(
    ec2: &Client,
    spec: &FirewallSpec,
    request: &Request,
) -> Result<(String, bool)> {
    let tags = super::ec2::tag_specification(
        ResourceType::SecurityGroup,
        &spec.name,
        &spec.tags,
        request,
    )?;
    let call = ec2
        .create_security_group()
        .group_name(&spec.name)
        .description(format!("Firewall {}", spec.name))
        .vpc_id(spec.network.native())
        .tag_specifications(tags);
    let taken = match call.send().await.map_err(writes("ec2")) {
        Ok(answer) => return Ok((answer.group_id.ok_or_else(|| absent("GroupId"))?, true)),
        Err(error) if has_code(&error, &["InvalidGroup.Duplicate"]) => error,
        Err(error) => return Err(error),
    };
    let call = ec2.describe_security_groups().filters(filter("vpc-id", spec.network.native()));
    let call = call.filters(filter("group-name", &spec.name));
    let there = call.send().await.map_err(reads("ec2"))?.security_groups.unwrap_or_default();
    for group in there.iter().filter(|group| group.group_name() == Some(&spec.name)) {
        if request.made(group.request().as_deref())? {
            return Ok((group.native().to_owned(), false));
        }
    }
    Err(taken)
}

/// Adds the rules that are not there, and takes away the one that lets everything out unless the spec has it.
async fn complete(ec2: &Client, spec: &FirewallSpec, id: &str) -> Result<SecurityGroup> {
    let wanted = wanted(&spec.rules);
    let there = allowed(&group(ec2, id).await.map_err(may_have)?);
    let of = |direction, rules: &mut dyn Iterator<Item = &Allowed>| -> Option<Vec<IpPermission>> {
        let rules = rules.filter(|rule| rule.direction == direction);
        let permissions: Vec<_> = rules.map(Allowed::permission).collect();
        (!permissions.is_empty()).then_some(permissions)
    };
    let mut unasked = there.iter().filter(|rule| rule.is_default() && !wanted.contains(rule));
    if let Some(permissions) = of(Direction::Egress, &mut unasked) {
        let call = ec2.revoke_security_group_egress().group_id(id);
        let revoked = call.set_ip_permissions(Some(permissions)).send().await;
        raced(revoked.map(drop).map_err(writes("ec2")), "InvalidPermission.NotFound")?;
    }
    let missing = || wanted.iter().filter(|rule| !there.contains(rule));
    if let Some(permissions) = of(Direction::Ingress, &mut missing()) {
        let call = ec2.authorize_security_group_ingress().group_id(id);
        let added = call.set_ip_permissions(Some(permissions)).send().await;
        raced(added.map(drop).map_err(writes("ec2")), "InvalidPermission.Duplicate")?;
    }
    if let Some(permissions) = of(Direction::Egress, &mut missing()) {
        let call = ec2.authorize_security_group_egress().group_id(id);
        let added = call.set_ip_permissions(Some(permissions)).send().await;
        raced(added.map(drop).map_err(writes("ec2")), "InvalidPermission.Duplicate")?;
    }
    group(ec2, id).await.map_err(may_have)
}

/// What another process, completing the same firewall, has done already is done.
fn raced(answer: Result<()>, code: &str) -> Result<()> {
    match answer {
        Err(error) if has_code(&error, &[code]) => Ok(()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group_of(rules: &[FirewallRule]) -> SecurityGroup {
        let (mut ingress, mut egress) = (Vec::new(), Vec::new());
        for rule in wanted(rules) {
            match rule.direction {
                Direction::Ingress => ingress.push(rule.permission()),
                Direction::Egress => egress.push(rule.permission()),
            }
        }
        SecurityGroup::builder()
            .set_ip_permissions(Some(ingress))
            .set_ip_permissions_egress(Some(egress))
            .build()
    }

    fn any_rule() -> impl Strategy<Value = FirewallRule> {
        let peer = prop_oneof![
            (any::<u32>(), 0u8..=32).prop_map(|(a, n)| IpNet::new(
                std::net::Ipv4Addr::from(a).into(),
                n
            )
            .unwrap()),
            (any::<u128>(), 0u8..=128).prop_map(|(a, n)| IpNet::new(
                std::net::Ipv6Addr::from(a).into(),
                n
            )
            .unwrap()),
        ];
        let ports = prop::option::of((1u16.., 1u16..).prop_map(|(a, b)| (a.min(b), a.max(b))));
        let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
        let protocol = prop_oneof![
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Icmp),
            Just(Protocol::All)
        ];
        (direction, protocol, ports, prop::collection::vec(peer, 1..4)).prop_map(
            |(direction, protocol, ports, peers)| FirewallRule {
                direction,
                protocol,
                ports: ports.filter(|_| matches!(protocol, Protocol::Tcp | Protocol::Udp)),
                peers,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(rules in prop::collection::vec(any_rule(), 0..6)) {
            let sent = wanted(&rules);
            let group = group_of(&rules);
            let read = allowed(&group);
            prop_assert_eq!(sent.len(), read.len());
            prop_assert!(sent.iter().all(|rule| read.contains(rule)));
            let merged = super::rules(&group);
            prop_assert!(merged.iter().map(|rule| rule.peers.len()).sum::<usize>() == sent.len());
        }
    }

    #[test]
    fn icmp_is_both_icmps_and_one_rule() {
        let peers = ["0.0.0.0/0", "::/0"].map(|peer| peer.parse().unwrap());
        let rule = FirewallRule {
            direction: Direction::Ingress,
            protocol: Protocol::Icmp,
            ports: None,
            peers: peers.into(),
        };
        let group = group_of(std::slice::from_ref(&rule));
        let names: Vec<_> =
            group.ip_permissions().iter().map(|p| p.ip_protocol().unwrap()).collect();
        assert_eq!(names, ["icmp", "icmpv6"]);
        assert_eq!(rules(&group), [rule]);
    }

    #[test]
    fn names_and_numbers_that_aws_refuses_are_refused() {
        let network: ResourceId = "network/us-east-1/vpc-1".parse().unwrap();
        for name in ["sg-web", "SG-web", "default"] {
            let spec = FirewallSpec::new(name, network.clone());
            assert!(check(&spec).unwrap_err().to_string().contains("firewall name"), "{name}");
        }
        let mut spec = FirewallSpec::new("web", network);
        let many =
            (0..1001).map(|i: u32| IpNet::new(std::net::Ipv4Addr::from(i).into(), 32).unwrap());
        spec.rules.push(FirewallRule::allow_tcp(443, many));
        assert!(check(&spec).unwrap_err().to_string().contains("rules are 1001"));
    }

    #[test]
    fn only_the_default_is_taken_for_it() {
        let out = |peer: &str, protocol| Allowed {
            direction: Direction::Egress,
            protocol,
            ports: None,
            peer: peer.parse().unwrap(),
        };
        assert!(out("0.0.0.0/0", Protocol::All).is_default());
        assert!(out("::/0", Protocol::All).is_default());
        assert!(!out("0.0.0.0/0", Protocol::Tcp).is_default());
        assert!(!out("10.0.0.0/8", Protocol::All).is_default());
    }
}
