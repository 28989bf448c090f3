//! What only DNS does: keep record sets, one of each key, with the routing that is declared.

use cloud_core::{
    ClientToken, DnsExt, DnsZone, ErrorKind, HealthCheck, RecordSet, RecordType, Region, Routing,
};

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "dns.records": "a record set is what it was last set to, is listed, and is deleted once", |can| can.dns.is_some() => records;
        "dns.routing": "declared routings are kept as they are and apart by their id, the others refused with Unsupported", |can| can.dns.is_some() => routing;
        "dns.bias": "a geoproximity bias out of range is refused with InvalidInput", |can| can.dns.as_ref().is_some_and(|dns| dns.geoproximity) => bias;
        "dns.failover": "a failover record keeps its health check, which is deleted once no record uses it", |can| can.dns.as_ref().is_some_and(|dns| dns.failover && dns.health_checks) => failover;
        "dns.undeclared": "health checks that are not declared are refused with Unsupported", |can| can.dns.as_ref().is_some_and(|dns| !dns.health_checks) => undeclared;
        "dns.gone": "a zone that is gone has no records", |can| can.dns.is_some() => gone;
    }
}

async fn zone(context: &Context<'_>) -> Result<DnsZone, Failure> {
    let mut spec = context.harness.zone_spec(&format!("{}.example.com", context.name("a")));
    spec.tags = context.tags(&[])?;
    let service = context.cloud.dns()?;
    let made = service.create_zone(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    Ok(service.get_zone(&made.id).await?)
}

/// The record sets of a name, whatever else the provider keeps in the zone.
async fn found(
    context: &Context<'_>,
    zone: &DnsZone,
    name: &str,
) -> Result<Vec<RecordSet>, Failure> {
    let all = context.cloud.dns()?.list_records(&zone.id).complete().await?.into_items();
    Ok(all.into_iter().filter(|record| record.name == name).collect())
}

async fn records(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.dns()?;
    let zone = zone(context).await?;
    let name = format!("www.{}", zone.name);
    let first = RecordSet::new(&name, RecordType::A, ["192.0.2.1"]);
    let mut second = RecordSet::new(&name, RecordType::A, ["192.0.2.2", "192.0.2.3"]);
    second.ttl_seconds = 60;
    let other = RecordSet::new(&name, RecordType::Aaaa, ["2001:db8::1"]);
    for record in [&first, &first, &other, &second] {
        service.set_record(&zone.id, record).await?;
    }
    context
        .eventually(|| async {
            let mut records = found(context, &zone, &name).await?;
            records.sort_by_key(|record| record.record_type);
            ensure!(records == [second.clone(), other.clone()], "the records are {records:?}");
            Ok(())
        })
        .await?;
    ensure!(service.delete_record(&zone.id, &second).await?, "delete says that there was nothing");
    ensure!(!service.delete_record(&zone.id, &second).await?, "a second delete answers true");
    context
        .eventually(|| async {
            let left = found(context, &zone, &name).await?;
            ensure!(left == [other.clone()], "after the delete there is {left:?}");
            Ok(())
        })
        .await?;
    let outside = RecordSet::new("www.example.org", RecordType::A, ["192.0.2.1"]);
    let kind = service.set_record(&zone.id, &outside).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a record outside of its zone answers {kind:?}, not InvalidInput"
    );
    Ok(())
}

async fn routing(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.dns()?;
    let Some(can) = context.capabilities().dns.clone() else {
        return Ok(());
    };
    let zone = zone(context).await?;
    let id = |id: &str| id.to_owned();
    let (here, there) = (context.region.clone(), second_region(context));
    let pairs = [
        (
            "weighted",
            can.weighted,
            [
                Routing::Weighted { id: id("a"), weight: 10 },
                Routing::Weighted { id: id("b"), weight: 90 },
            ],
        ),
        (
            "failover",
            can.failover,
            [
                Routing::Failover { id: id("a"), primary: true },
                Routing::Failover { id: id("b"), primary: false },
            ],
        ),
        (
            "latency",
            can.latency,
            [
                Routing::Latency { id: id("a"), region: here.clone() },
                Routing::Latency { id: id("b"), region: there.clone() },
            ],
        ),
        (
            "geoproximity",
            can.geoproximity,
            [
                Routing::Geoproximity { id: id("a"), region: here, bias: -20 },
                Routing::Geoproximity { id: id("b"), region: there, bias: 99 },
            ],
        ),
    ];
    for (label, declared, routings) in pairs {
        let name = format!("{label}.{}", zone.name);
        let mut kept = Vec::new();
        for (i, routing) in routings.into_iter().enumerate() {
            let mut record = RecordSet::new(&name, RecordType::A, [format!("192.0.2.{}", i + 1)]);
            record.routing = routing;
            let kind = service.set_record(&zone.id, &record).await.err().map(|e| e.kind());
            let wanted = (!declared).then_some(ErrorKind::Unsupported);
            ensure!(kind == wanted, "{label} records answer {kind:?}, not {wanted:?}");
            if declared {
                kept.push(record);
            }
        }
        expect(context, &zone, &name, &kept).await?;
    }
    Ok(())
}

/// The second region, or where there is only one, that.
fn second_region(context: &Context<'_>) -> Region {
    context.harness.second_region().unwrap_or_else(|| context.region.clone())
}

/// Fails unless the record sets of a name are these; they are in the order of their routing ids.
async fn expect(
    context: &Context<'_>,
    zone: &DnsZone,
    name: &str,
    wanted: &[RecordSet],
) -> Result<(), Failure> {
    context
        .eventually(|| async {
            let mut records = found(context, zone, name).await?;
            records.sort_by_key(|record| record.routing.id().map(str::to_owned));
            ensure!(records == wanted, "the records are {records:?}, not {wanted:?}");
            Ok(())
        })
        .await
}

async fn bias(context: &Context<'_>) -> Result<(), Failure> {
    let zone = zone(context).await?;
    let name = format!("www.{}", zone.name);
    for bias in [i8::MIN, -100, 100] {
        let mut record = RecordSet::new(&name, RecordType::A, ["192.0.2.1"]);
        record.routing =
            Routing::Geoproximity { id: "a".into(), region: context.region.clone(), bias };
        let answer = context.cloud.dns()?.set_record(&zone.id, &record).await;
        let kind = answer.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::InvalidInput),
            "the bias {bias} answers {kind:?}, not InvalidInput"
        );
    }
    expect(context, &zone, &name, &[]).await
}

async fn health_check(context: &Context<'_>) -> Result<HealthCheck, Failure> {
    let mut spec = context.harness.health_check_spec(&context.name("check"));
    spec.tags = context.tags(&[])?;
    let service = context.cloud.dns()?;
    let made = service.create_health_check(&spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    let check = service.get_health_check(&made.id).await?;
    let (asked, got) = (
        (&spec.target, spec.port, spec.protocol, &spec.path),
        (&check.target, check.port, check.protocol, &check.path),
    );
    ensure!(asked == got, "the check calls {got:?}, not {asked:?}");
    Ok(check)
}

async fn failover(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.dns()?;
    let (zone, check) = (zone(context).await?, health_check(context).await?);
    let name = format!("www.{}", zone.name);
    let record = |id: &str, primary, address: &str| RecordSet {
        routing: Routing::Failover { id: id.into(), primary },
        ..RecordSet::new(&name, RecordType::A, [address])
    };
    let mut first = record("a", true, "192.0.2.1");
    first.health_check = Some(check.id.clone());
    let second = record("b", false, "192.0.2.2");
    for record in [&first, &second] {
        service.set_record(&zone.id, record).await?;
    }
    expect(context, &zone, &name, &[first.clone(), second.clone()]).await?;

    first.health_check = None;
    service.set_record(&zone.id, &first).await?;
    expect(context, &zone, &name, &[first.clone(), second.clone()]).await?;
    ensure!(
        service.delete_health_check(&check.id).await?,
        "delete of the health check says that there was nothing"
    );
    context.gone(&check.id).await?;

    let mut wrong = second;
    wrong.health_check = Some(zone.id.clone());
    let kind = service.set_record(&zone.id, &wrong).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidInput),
        "a zone as a health check answers {kind:?}, not InvalidInput"
    );
    Ok(())
}

async fn undeclared(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.dns()?;
    let zone = zone(context).await?;
    let spec = context.harness.health_check_spec(&context.name("check"));
    let mut record = RecordSet::new(format!("www.{}", zone.name), RecordType::A, ["192.0.2.1"]);
    let id = format!("health_check/{}/any", spec.region).parse::<cloud_core::ResourceId>()?;
    record.health_check = Some(id);
    let answers = [
        service.create_health_check(&spec, &ClientToken::random()).await.err().map(|e| e.kind()),
        service.set_record(&zone.id, &record).await.err().map(|e| e.kind()),
    ];
    let wanted = Some(ErrorKind::Unsupported);
    ensure!(
        answers == [wanted; 2],
        "a health check and a record with one answer {answers:?}, not Unsupported"
    );
    Ok(())
}

async fn gone(context: &Context<'_>) -> Result<(), Failure> {
    let service = context.cloud.dns()?;
    let zone = zone(context).await?;
    let record = RecordSet::new(format!("www.{}", zone.name), RecordType::A, ["192.0.2.1"]);
    service.set_record(&zone.id, &record).await?;
    ensure!(service.delete_zone(&zone.id).await?, "delete says that there was nothing");
    context.gone(&zone.id).await?;
    let kind = service.set_record(&zone.id, &record).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::NotFound),
        "a record in a zone that is gone answers {kind:?}, not NotFound"
    );
    Ok(())
}
