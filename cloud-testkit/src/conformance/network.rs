//! What only networks do: divide addresses, refuse overlaps, filter, join.

use cloud_core::{
    Capabilities, ClientToken, ErrorKind, FirewallRule, FirewallSpec, NetworkCapabilities,
    NetworkSpec, PeeringSpec, SubnetSpec,
};
use ipnet::IpNet;

use super::{Context, Failure, Trial, ensure, subject, trial_list};

fn network(can: &Capabilities, wanted: fn(&NetworkCapabilities) -> bool) -> bool {
    can.network.as_ref().is_some_and(wanted)
}

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "network.subnets": "subnets come back with their names and addresses; one outside the network is refused", |can| can.network.is_some() => subnets;
        "network.overlap": "a network whose addresses overlap another's is refused", |can| network(can, |n| n.overlap_refused) => overlap;
        "network.firewall": "rules come back as given; SSH open to all needs its opt-in", |can| network(can, |n| n.firewalls) => firewall;
        "network.in_use": "a network with a firewall is refused to be deleted", |can| network(can, |n| n.firewalls) => in_use;
        "network.peering": "a peering joins two networks and keeps both; one with itself is refused", |can| network(can, |n| n.peering) => peering;
        "network.peering_overlap": "a peering of networks with common addresses is refused", |can| network(can, |n| n.peering && !n.overlap_refused) => peering_overlap;
        "network.undeclared": "firewalls and peerings that are not declared are refused with Unsupported", |can| network(can, |n| !n.firewalls || !n.peering) => undeclared;
    }
}

fn spec(context: &Context<'_>, suffix: &str) -> Result<NetworkSpec, Failure> {
    let mut spec = context.harness.network_spec(&context.name(suffix), subject::next_number());
    spec.tags = context.tags(&[])?;
    Ok(spec)
}

async fn subnets(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let mut spec = spec(context, "a")?;
    let half = spec.cidr.prefix_len() + 1;
    let halves: Vec<IpNet> =
        spec.cidr.subnets(half).map_err(|e| Failure::new(e.to_string()))?.collect();
    spec.subnets = vec![SubnetSpec::new("low", halves[0]), SubnetSpec::new("high", halves[1])];
    let made = service.create_network(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let got = service.get_network(&made.id).await?;
    let mut subnets: Vec<_> = got.subnets.iter().map(|s| (s.name.as_str(), s.cidr)).collect();
    subnets.sort_by_key(|(_, cidr)| *cidr);
    ensure!(
        got.cidr == spec.cidr && subnets == [("low", halves[0]), ("high", halves[1])],
        "the network is {got:?}"
    );
    ensure!(
        got.subnets[0].native_id != got.subnets[1].native_id,
        "both subnets are {}",
        got.subnets[0].native_id
    );

    let mut outside = self::spec(context, "b")?;
    outside.subnets = vec![SubnetSpec::new("elsewhere", halves[0])];
    let kind =
        service.create_network(&outside, &ClientToken::random()).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a subnet outside of its network answers {kind:?}, not InvalidInput"
    );
    Ok(())
}

async fn overlap(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let first = spec(context, "a")?;
    let made = service.create_network(&first, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let inner = first
        .cidr
        .subnets(first.cidr.prefix_len() + 1)
        .map_err(|e| Failure::new(e.to_string()))?
        .last();
    for (suffix, cidr) in
        [("same", Some(first.cidr)), ("inner", inner), ("outer", first.cidr.supernet())]
    {
        let mut other = spec(context, suffix)?;
        other.cidr = cidr.ok_or_else(|| Failure::new("the harness's network cannot be divided"))?;
        match service.create_network(&other, &ClientToken::random()).await {
            Ok(made) => {
                context.note(&made.id);
                return Err(Failure::new(format!(
                    "{} is accepted besides {}",
                    other.cidr, first.cidr
                )));
            }
            Err(error) => ensure!(
                error.kind() == ErrorKind::Conflict,
                "{} is refused with {error:?}, not Conflict",
                other.cidr
            ),
        }
    }
    service.delete_network(&made.id).await?;
    context.gone(&made.id).await?;
    let again = NetworkSpec { name: context.name("again"), ..first };
    let made = service.create_network(&again, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    Ok(())
}

async fn firewall(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let network = subject::network(context, "net").await?;
    let anywhere: IpNet =
        IpNet::new([0, 0, 0, 0].into(), 0).map_err(|e| Failure::new(e.to_string()))?;
    let mut spec = FirewallSpec::new(context.name("a"), network);
    spec.tags = context.tags(&[])?;
    spec.rules = vec![FirewallRule::allow_tcp(443, [anywhere])];
    let made = service.create_firewall(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let got = service.get_firewall(&made.id).await?;
    ensure!(got.rules == spec.rules && got.network == spec.network, "the firewall is {got:?}");
    spec.name = context.name("b");
    spec.rules.push(FirewallRule::allow_tcp(22, [anywhere]));
    let kind = service.create_firewall(&spec, &ClientToken::random()).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "SSH open to all answers {kind:?}, not InvalidInput"
    );
    spec.allow_admin_from_anywhere = true;
    let made = service.create_firewall(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    Ok(())
}

async fn in_use(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let network = subject::network(context, "net").await?;
    let mut spec = FirewallSpec::new(context.name("a"), network.clone());
    spec.tags = context.tags(&[])?;
    let firewall = service.create_firewall(&spec, &ClientToken::random()).await?;
    context.ready(&firewall.id).await?;
    let kind = service.delete_network(&network).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::Conflict),
        "to delete a network in use answers {kind:?}, not Conflict"
    );
    service.get_network(&network).await?;
    spec.network = cloud_core::ResourceId::new(
        network.kind,
        network.region.clone(),
        format!("{}0", network.native()),
    )?;
    spec.name = context.name("b");
    let kind = service.create_firewall(&spec, &ClientToken::random()).await.err().map(|e| e.kind());
    let good = [Some(ErrorKind::NotFound), Some(ErrorKind::InvalidInput)];
    ensure!(good.contains(&kind), "a firewall in a network that is not there answers {kind:?}");
    Ok(())
}

async fn peering(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let (one, other) =
        (subject::network(context, "one").await?, subject::network(context, "other").await?);
    let mut spec = PeeringSpec::new(context.name("a"), one.clone(), other.clone());
    spec.tags = context.tags(&[])?;
    let made = service.create_peering(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let got = service.get_peering(&made.id).await?;
    ensure!(got.network == one && got.peer == other, "the peering is {got:?}");
    for network in [&one, &other] {
        let kind = service.delete_network(network).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Conflict),
            "to delete a peered network answers {kind:?}, not Conflict"
        );
    }
    let itself = PeeringSpec::new(context.name("b"), one.clone(), one);
    let kind =
        service.create_peering(&itself, &ClientToken::random()).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a peering of a network with itself answers {kind:?}"
    );
    Ok(())
}

async fn peering_overlap(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let first = spec(context, "one")?;
    let second = NetworkSpec { name: context.name("other"), ..first.clone() };
    let mut ids = Vec::new();
    for spec in [&first, &second] {
        let made = service.create_network(spec, &ClientToken::random()).await?;
        ids.push(context.ready(&made.id).await?.id);
    }
    let mut spec = PeeringSpec::new(context.name("a"), ids.remove(0), ids.remove(0));
    spec.tags = context.tags(&[])?;
    let kind = service.create_peering(&spec, &ClientToken::random()).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a peering of overlapping networks answers {kind:?}, not InvalidInput"
    );
    Ok(())
}

async fn undeclared(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.network()?;
    let (one, other) =
        (subject::network(context, "one").await?, subject::network(context, "other").await?);
    let token = ClientToken::random();
    if !network(context.capabilities(), |n| n.firewalls) {
        let spec = FirewallSpec::new(context.name("a"), one.clone());
        let kind = service.create_firewall(&spec, &token).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Unsupported),
            "a firewall answers {kind:?}, not Unsupported"
        );
    }
    if !network(context.capabilities(), |n| n.peering) {
        let spec = PeeringSpec::new(context.name("b"), one, other);
        let kind = service.create_peering(&spec, &token).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Unsupported),
            "a peering answers {kind:?}, not Unsupported"
        );
    }
    Ok(())
}
