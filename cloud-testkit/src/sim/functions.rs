//! `Functions` of the simulated cloud: handlers that the builder registered.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    ClientToken, Effect, Error, ErrorKind, Function, FunctionCode, FunctionSpec, Functions,
    Invocation, InvokeMode, ListQuery, Page, PageRequest, ResourceId, ResourceKind, ResourceStatus,
    Result, Retry,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    FunctionReply, SimCloud,
    config::Handler,
    entry::{Draft, Request},
    extra::{Extra, FunctionExtra},
    offered,
};

impl SimCloud {
    /// The handler that the code names, one of those that are always there, or an echo.
    fn handler(&self, code: &FunctionCode) -> Handler {
        let (name, arguments) = match code {
            FunctionCode::Executable(command) => {
                (command.first().cloned().unwrap_or_default(), command.get(1..).unwrap_or_default())
            }
            FunctionCode::Archive(path) => (path.display().to_string(), &[][..]),
            FunctionCode::Image(image) => (image.clone(), &[][..]),
            _ => (String::new(), &[][..]),
        };
        if let Some(handler) = self.0.handlers.get(&name) {
            return handler.clone();
        }
        match name.as_str() {
            "sim-fail" => Arc::new(|_| FunctionReply::fail("it fails by design")),
            "sim-sleep" => {
                let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(1);
                Arc::new(move |input| {
                    FunctionReply::ok(input.clone()).after(Duration::from_secs(seconds))
                })
            }
            _ => Arc::new(|input| FunctionReply::ok(input.clone())),
        }
    }
}

/// Counts a running call down again, also when its future is dropped.
struct Running<'a> {
    cloud: &'a SimCloud,
    id: &'a ResourceId,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.cloud.lock();
        if let Ok(entry) = state.find_mut(self.id, Instant::now())
            && let Extra::Function(function) = &mut entry.extra
        {
            function.running = function.running.saturating_sub(1);
        }
    }
}

#[async_trait]
impl Functions for SimCloud {
    async fn create_function(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function> {
        spec.check(offered!(self, functions, "functions")?)?;
        self.region(&spec.region)?;
        for secret in spec.secret_environment.values() {
            secret.resolve()?;
        }
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("functions.create_function", request, |_, common| {
            let view = Function {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                version: "1".into(),
                tags: common.tags,
                created_at: common.created_at,
            };
            let extra = FunctionExtra {
                handler: self.handler(&spec.code),
                timeout_seconds: spec.timeout_seconds,
                concurrency: spec.concurrency,
                running: 0,
            };
            Ok(Draft::new(view, Extra::Function(extra)))
        })
        .await
    }

    async fn get_function(&self, id: &ResourceId) -> Result<Function> {
        self.get_one("functions.get_function", id).await
    }

    async fn list_functions_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Function>> {
        self.list_page("functions.list_functions", query, page).await
    }

    async fn delete_function(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("functions.delete_function", ResourceKind::Function, id).await
    }

    async fn invoke(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation> {
        id.expect_kind(ResourceKind::Function)?;
        let can = offered!(self, functions, "functions")?;
        if mode == InvokeMode::Queue && !can.asynchronous {
            return Err(Error::unsupported("queued calls of functions"));
        }
        let size = input.to_string().len();
        if size > can.max_payload_bytes {
            let accepted = format!("at most {} bytes", can.max_payload_bytes);
            return Err(Error::invalid("input", format_args!("has {size} bytes"), accepted));
        }
        let begin = |state: &mut super::state::State, now| {
            let request_id = format!("call-{:016x}", rand::RngExt::random::<u64>(&mut state.rng));
            let entry = state.ready(id, now)?;
            let Extra::Function(function) = &mut entry.extra else {
                return Err(Error::not_found(id));
            };
            if mode == InvokeMode::Wait
                && function.concurrency.is_some_and(|most| function.running >= most)
            {
                let message = format!("{} calls of {id} run already", function.running);
                return Err(Error::new(ErrorKind::RateLimited, message)
                    .with_scope(cloud_core::Scope::Resource)
                    .with_retry(Retry::Backoff));
            }
            let waits = mode == InvokeMode::Wait;
            function.running += u32::from(waits);
            let running = waits.then(|| Running { cloud: self, id });
            let limit = Duration::from_secs(function.timeout_seconds.into());
            Ok((request_id, function.handler.clone(), limit, running))
        };
        let (request_id, handler, limit, running) =
            self.call("functions.invoke", Some(&id.region), begin).await?;
        let reply = handler(input);
        if mode == InvokeMode::Queue {
            return Ok(Invocation { request_id, output: None, error: None, duration: None });
        }
        tokio::time::sleep(reply.takes.min(limit)).await;
        drop(running);
        if reply.takes > limit {
            let message = format!("{id} ran longer than {limit:?}");
            return Err(Error::new(ErrorKind::Timeout, message)
                .with_effect(Effect::Unknown)
                .with_retry(Retry::Never)
                .with_operation("functions.invoke")
                .with_cloud(&self.0.id, self.0.provider)
                .with_request_id(request_id));
        }
        let (output, error) = match reply.result {
            Ok(output) => (Some(output), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Invocation { request_id, output, error, duration: Some(reply.takes) })
    }
}
