//! What only DNS does: keep record sets, one of each key, with the routing that is declared.

use cloud_core::{ClientToken, DnsExt, DnsZone, ErrorKind, RecordSet, RecordType, Routing};

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "dns.records": "a record set is what it was last set to, is listed, and is deleted once", |can| can.dns.is_some() => records;
        "dns.routing": "declared routings are kept apart by their id, the others refused with Unsupported", |can| can.dns.is_some() => routing;
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
    ];
    for (label, declared, routings) in pairs {
        let name = format!("{label}.{}", zone.name);
        for (i, routing) in routings.into_iter().enumerate() {
            let mut record = RecordSet::new(&name, RecordType::A, [format!("192.0.2.{}", i + 1)]);
            record.routing = routing;
            let kind = service.set_record(&zone.id, &record).await.err().map(|e| e.kind());
            let wanted = (!declared).then_some(ErrorKind::Unsupported);
            ensure!(kind == wanted, "{label} records answer {kind:?}, not {wanted:?}");
        }
        let wanted = if declared { 2 } else { 0 };
        context
            .eventually(|| async {
                let records = found(context, &zone, &name).await?;
                ensure!(records.len() == wanted, "{label} records are {records:?}");
                Ok(())
            })
            .await?;
    }
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
