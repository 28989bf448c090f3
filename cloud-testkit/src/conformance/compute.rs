//! What only instances do: stop, start, reboot, write to a console, have a size.

use cloud_core::{
    Capabilities, ClientToken, ComputeCapabilities, ComputeExt, DeleteOptions, ErrorKind, Instance,
    InstanceSize, ListQuery, ResourceStatus, wait_until,
};

use super::{Context, Failure, Trial, ensure, subject, trial_list};

fn compute(can: &Capabilities, wanted: fn(&ComputeCapabilities) -> bool) -> bool {
    can.compute.as_ref().is_some_and(wanted)
}

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "compute.stop_start": "an instance stops and starts again, and to repeat either does nothing", |can| compute(can, |c| c.stop_start) => stop_start;
        "compute.reboot": "a running instance reboots, a stopped one does not", |can| compute(can, |c| c.reboot) => reboot;
        "compute.console": "console output can be read and is at most 64 KiB", |can| compute(can, |c| c.console_output) => console;
        "compute.undeclared": "what is not declared is refused with Unsupported", |can| can.compute.is_some() => undeclared;
        "compute.types": "instance types are on offer, and each can be asked for by name", |can| can.compute.is_some() => types;
        "compute.sizes": "an instance of at least a size has it; an impossible size is refused without effect", |can| can.compute.is_some() => sizes;
        "compute.zones": "an instance is put into the zone it asks for; a zone that is not there is refused", |can| compute(can, |c| c.zones) => zones;
        "compute.network": "an instance in a network keeps that network from being deleted", |can| can.compute.is_some() && can.network.is_some() => network;
    }
}

async fn running(context: &Context<'_>) -> Result<Instance, Failure> {
    let mut spec = context.harness.instance_spec(&context.name("a"));
    spec.tags = context.tags(&[])?;
    start(context, &spec).await
}

async fn start(
    context: &Context<'_>,
    spec: &cloud_core::InstanceSpec,
) -> Result<Instance, Failure> {
    let compute = context.cloud.compute()?;
    let made = compute.create_instance(spec, &ClientToken::random()).await?;
    context.ready(&made.id).await?;
    Ok(compute.get_instance(&made.id).await?)
}

async fn stop_start(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let id = running(context).await?.id;
    compute.start_instance(&id).await?;
    compute.stop_instance(&id).await?;
    context.reach(&id, ResourceStatus::Stopped).await?;
    compute.stop_instance(&id).await?;
    context.reach(&id, ResourceStatus::Stopped).await?;
    compute.start_instance(&id).await?;
    context.ready(&id).await?;
    ensure!(compute.delete_instance(&id).await?, "delete says that there was nothing");
    context.gone(&id).await?;
    for (what, answer) in
        [("stop", compute.stop_instance(&id).await), ("start", compute.start_instance(&id).await)]
    {
        let kind = answer.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::NotFound),
            "{what} of what is gone answers {kind:?}, not NotFound"
        );
    }
    Ok(())
}

async fn reboot(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let id = running(context).await?.id;
    compute.reboot_instance(&id).await?;
    context.ready(&id).await?;
    if context.capabilities().compute.as_ref().is_some_and(|c| c.stop_start) {
        compute.stop_instance(&id).await?;
        context.reach(&id, ResourceStatus::Stopped).await?;
        let kind = compute.reboot_instance(&id).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::Conflict),
            "a stopped instance answers a reboot with {kind:?}, not Conflict"
        );
    }
    Ok(())
}

async fn console(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let id = running(context).await?.id;
    let output = wait_until("console output", &context.wait, || async {
        Ok(Some(compute.console_output(&id).await?).filter(|bytes| !bytes.is_empty()))
    })
    .await?;
    ensure!(output.len() <= 64 * 1024, "console output has {} bytes", output.len());
    Ok(())
}

async fn undeclared(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let Some(can) = context.capabilities().compute.clone() else {
        return Ok(());
    };
    let id = running(context).await?.id;
    let mut answers = Vec::new();
    if !can.stop_start {
        answers.push(("stop", compute.stop_instance(&id).await.err()));
    }
    if !can.reboot {
        answers.push(("reboot", compute.reboot_instance(&id).await.err()));
    }
    if !can.console_output {
        answers.push(("console output", compute.console_output(&id).await.err()));
    }
    if !can.spot {
        let mut spec = context.harness.instance_spec(&context.name("spot"));
        (spec.spot, spec.tags) = (true, context.tags(&[])?);
        answers.push(("spot", compute.create_instance(&spec, &ClientToken::random()).await.err()));
    }
    for (what, error) in answers {
        let kind = error.map(|e| e.kind());
        ensure!(kind == Some(ErrorKind::Unsupported), "{what} answers {kind:?}, not Unsupported");
    }
    Ok(())
}

async fn types(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let here = ListQuery::in_region(context.region.clone());
    let types = compute.list_instance_types(&here).complete().await?.into_items();
    ensure!(!types.is_empty(), "no instance type is on offer in {}", context.region);
    for one in &types {
        ensure!(one.region == context.region, "{} is of {}", one.name, one.region);
        ensure!(
            types.iter().filter(|t| t.name == one.name).count() == 1,
            "{} comes twice",
            one.name
        );
    }
    let query = ListQuery { name: Some(types[0].name.clone()), ..here };
    let found = compute.list_instance_types(&query).complete().await?.into_items();
    ensure!(found == types[..1], "{} is asked for and {found:?} is found", types[0].name);
    Ok(())
}

async fn sizes(context: &Context<'_>) -> Result<(), Failure> {
    let compute = context.cloud.compute()?;
    let instance = running(context).await?;
    let here = ListQuery {
        name: Some(instance.instance_type.clone()),
        ..ListQuery::in_region(context.region.clone())
    };
    let found = compute.list_instance_types(&here).complete().await?.into_items();
    if let (InstanceSize::AtLeast { vcpu, memory, gpu }, Some(t)) =
        (context.harness.instance_spec("any").size, found.first())
    {
        // A type of no vCPUs is one that sets no limit.
        let enough = t.vcpu == 0 || (t.vcpu >= vcpu && t.memory >= memory && t.gpu >= gpu);
        ensure!(enough, "at least {vcpu} vCPU and {memory} are asked for, and {t:?} is given");
    }
    let mut spec = context.harness.instance_spec(&context.name("b"));
    spec.size = InstanceSize::Exact("no-such-type.9".into());
    spec.tags = context.tags(&[])?;
    match compute.create_instance(&spec, &ClientToken::random()).await {
        Ok(made) => {
            context.note(&made.id);
            Err(Failure::new("an instance type that is not on offer is accepted"))
        }
        Err(error) => {
            let good = [ErrorKind::InvalidInput, ErrorKind::NotFound, ErrorKind::Unsupported];
            ensure!(
                good.contains(&error.kind()),
                "an unknown instance type is refused with {error:?}"
            );
            ensure!(
                error.effect() == cloud_core::Effect::None,
                "the refusal has the effect {:?}",
                error.effect()
            );
            Ok(())
        }
    }
}

async fn zones(context: &Context<'_>) -> Result<(), Failure> {
    let regions = context.cloud.regions().await?;
    let zones =
        regions.into_iter().find(|info| info.region == context.region).map(|info| info.zones);
    let Some(zone) = zones.unwrap_or_default().pop() else {
        return Err(Failure::new("zones are declared, but the region has none"));
    };
    let mut spec = context.harness.instance_spec(&context.name("a"));
    (spec.zone, spec.tags) = (Some(zone.clone()), context.tags(&[])?);
    let instance = start(context, &spec).await?;
    ensure!(
        instance.zone.as_ref() == Some(&zone),
        "{zone} is asked for, and {:?} is given",
        instance.zone
    );
    (spec.zone, spec.name) = (Some(cloud_core::Zone::new("no-such-zone")?), context.name("b"));
    match context.cloud.compute()?.create_instance(&spec, &ClientToken::random()).await {
        Ok(made) => {
            context.note(&made.id);
            Err(Failure::new("a zone that is not there is accepted"))
        }
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::InvalidInput,
                "an unknown zone is refused with {error:?}"
            );
            Ok(())
        }
    }
}

async fn network(context: &Context<'_>) -> Result<(), Failure> {
    let network = subject::network(context, "net").await?;
    let mut spec = context.harness.instance_spec(&context.name("a"));
    (spec.network, spec.tags) = (Some(network.clone()), context.tags(&[])?);
    let instance = start(context, &spec).await?;
    let service = context.cloud.network()?;
    let kind = service.delete_network(&network).await.err().map(|e| e.kind());
    ensure!(
        kind == Some(ErrorKind::Conflict),
        "to delete a network in use answers {kind:?}, not Conflict"
    );
    service.get_network(&network).await?;
    context.cloud.delete_resource(&instance.id, &DeleteOptions::default()).await?;
    context.gone(&instance.id).await?;
    ensure!(service.delete_network(&network).await?, "the network is not there any more");
    Ok(())
}
