//! What only functions do: be called, fail, take too long, be called too often.

use std::time::Duration;

use cloud_core::{ClientToken, Effect, ErrorKind, FunctionSpec, InvokeMode, ResourceId};
use futures::future::join_all;
use serde_json::json;

use super::{Context, Failure, Trial, ensure, trial_list};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "functions.invoke": "a function answers with its output, whatever JSON goes in", |can| can.functions.is_some() => invoke;
        "functions.queue": "a queued call answers at once and without output, or is Unsupported", |can| can.functions.is_some() => queue;
        "functions.payload": "an input larger than declared is refused with InvalidInput", |can| can.functions.is_some() => payload;
        "functions.failing": "a function that fails is no error of the call", |can| can.functions.is_some() => failing;
        "functions.timeout": "a function that runs too long ends in Timeout with an unknown effect", |can| can.functions.is_some() => timeout;
        "functions.concurrency": "calls over the limit are refused with RateLimited, and not once there is room", |can| can.functions.is_some() => concurrency;
        "functions.gone": "a deleted function cannot be called", |can| can.functions.is_some() => gone;
    }
}

async fn deployed(context: &Context<'_>, mut spec: FunctionSpec) -> Result<ResourceId, Failure> {
    spec.tags = context.tags(&[])?;
    let made = context.cloud.functions()?.create_function(&spec, &ClientToken::random()).await?;
    Ok(context.ready(&made.id).await?.id)
}

async fn echo(context: &Context<'_>) -> Result<ResourceId, Failure> {
    deployed(context, context.harness.function_spec(&context.name("a"))).await
}

async fn invoke(context: &Context<'_>) -> Result<(), Failure> {
    let functions = context.cloud.functions()?;
    let id = echo(context).await?;
    for input in [
        json!({"name": "Ada", "größe": [1, 2.5, null, true]}),
        json!("text\nwith \"quotes\""),
        json!(null),
        json!([]),
    ] {
        let call = functions.invoke(&id, &input, InvokeMode::Wait).await?;
        ensure!(call.error.is_none(), "{input} makes it fail: {:?}", call.error);
        ensure!(call.output.as_ref() == Some(&input), "{input} gives {:?}", call.output);
        ensure!(!call.request_id.is_empty(), "the call has no id");
    }
    let calls = (0..8).map(|i| {
        let (functions, id) = (functions.clone(), id.clone());
        tokio::spawn(async move { (i, functions.invoke(&id, &json!(i), InvokeMode::Wait).await) })
    });
    for call in join_all(calls).await {
        let (i, call) = call.map_err(|e| Failure::new(format!("a call died: {e}")))?;
        let output = call?.output;
        ensure!(output == Some(json!(i)), "of 8 calls at once the one with {i} gives {output:?}");
    }
    Ok(())
}

async fn queue(context: &Context<'_>) -> Result<(), Failure> {
    let functions = context.cloud.functions()?;
    let id = echo(context).await?;
    let declared = context.capabilities().functions.as_ref().is_some_and(|f| f.asynchronous);
    match functions.invoke(&id, &json!(1), InvokeMode::Queue).await {
        Ok(call) => {
            ensure!(declared, "calls are queued although that is not declared");
            ensure!(call.output.is_none(), "a queued call gives {:?}", call.output);
        }
        Err(error) => ensure!(
            !declared && error.kind() == ErrorKind::Unsupported,
            "a queued call answers {error:?}"
        ),
    }
    Ok(())
}

async fn payload(context: &Context<'_>) -> Result<(), Failure> {
    let functions = context.cloud.functions()?;
    let id = echo(context).await?;
    let most = context.capabilities().functions.as_ref().map_or(0, |f| f.max_payload_bytes);
    let input = json!("x".repeat(most + 1));
    match functions.invoke(&id, &input, InvokeMode::Wait).await {
        Ok(_) => Err(Failure::new(format!("an input of more than {most} bytes is accepted"))),
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::InvalidInput,
                "too large an input answers {error:?}, not InvalidInput"
            );
            ensure!(
                error.effect() == Effect::None,
                "the refusal has the effect {:?}",
                error.effect()
            );
            Ok(())
        }
    }
}

async fn failing(context: &Context<'_>) -> Result<(), Failure> {
    let Some(spec) = context.harness.failing_function_spec(&context.name("a")) else {
        return Err(Failure::skip("the harness has no failing function"));
    };
    let id = deployed(context, spec).await?;
    let call = context.cloud.functions()?.invoke(&id, &json!({}), InvokeMode::Wait).await?;
    ensure!(call.error.is_some(), "a failing function gives {:?} and no error", call.output);
    Ok(())
}

async fn timeout(context: &Context<'_>) -> Result<(), Failure> {
    let Some(mut spec) = context.harness.slow_function_spec(&context.name("a"), 5) else {
        return Err(Failure::skip("the harness has no slow function"));
    };
    spec.timeout_seconds = 1;
    let id = deployed(context, spec).await?;
    match context.cloud.functions()?.invoke(&id, &json!({}), InvokeMode::Wait).await {
        Ok(call) => Err(Failure::new(format!("5 s of work within 1 s give {call:?}"))),
        Err(error) => {
            ensure!(
                error.kind() == ErrorKind::Timeout,
                "a function that runs too long answers {error:?}, not Timeout"
            );
            ensure!(
                error.effect() == Effect::Unknown,
                "its effect is {:?}, not Unknown",
                error.effect()
            );
            Ok(())
        }
    }
}

async fn concurrency(context: &Context<'_>) -> Result<(), Failure> {
    let Some(mut spec) = context.harness.slow_function_spec(&context.name("a"), 2) else {
        return Err(Failure::skip("the harness has no slow function"));
    };
    spec.concurrency = Some(2);
    let id = deployed(context, spec).await?;
    let functions = context.cloud.functions()?;
    let answers = join_all((0..6).map(|_| {
        let (functions, id) = (functions.clone(), id.clone());
        async move { functions.invoke(&id, &json!({}), InvokeMode::Wait).await }
    }))
    .await;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    ensure!(done == 2, "of 6 calls at once {done} are let in, 2 are allowed");
    for error in answers.into_iter().filter_map(Result::err) {
        ensure!(
            error.kind() == ErrorKind::RateLimited,
            "a call over the limit answers {error:?}, not RateLimited"
        );
    }
    // A call that is dropped makes room too.
    let input = json!({});
    let dropped = functions.invoke(&id, &input, InvokeMode::Wait);
    let _ = tokio::time::timeout(Duration::from_millis(200), dropped).await;
    cloud_core::wait_until("room for another call", &context.wait, || async {
        match functions.invoke(&id, &json!({}), InvokeMode::Wait).await {
            Err(error) if error.kind() == ErrorKind::RateLimited => Ok(None),
            answer => answer.map(Some),
        }
    })
    .await?;
    Ok(())
}

async fn gone(context: &Context<'_>) -> Result<(), Failure> {
    let functions = context.cloud.functions()?;
    let id = echo(context).await?;
    ensure!(functions.delete_function(&id).await?, "delete says that there was nothing");
    context.gone(&id).await?;
    let kind = functions.invoke(&id, &json!({}), InvokeMode::Wait).await.err().map(|e| e.kind());
    ensure!(kind == Some(ErrorKind::NotFound), "a deleted function answers {kind:?}, not NotFound");
    Ok(())
}
