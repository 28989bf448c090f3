//! `Functions` by Lambda: code that AWS runs on demand.

mod code;
mod invoke;
mod settings;
mod versions;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_lambda::{
    operation::create_function::builders::CreateFunctionFluentBuilder,
    types::{Environment, FunctionConfiguration, LastUpdateStatus, Runtime, State},
};
use cloud_core::{
    ClientToken, Effect, Error, ErrorKind, Function, FunctionSpec, Functions,
    FunctionsCapabilities, Invocation, InvokeMode, ListQuery, NameRule, Page, PageRequest, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, Tags,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use self::{code::Code, settings::Settings};
pub use self::{
    settings::{AwsCodeObject, AwsFunction},
    versions::AwsFunctionVersion,
};
use crate::{
    account::Account,
    error::{has_code, reads, writes},
    listing, names, tags,
    tokens::Request,
};

/// How many functions of a page are asked about at once.
const AT_ONCE: usize = 8;

/// Functions on Lambda.
///
/// A function needs a role, given by [`AwsFunction`]. Its code is a zip archive (of this machine, up to 50 MiB, or in S3) or an image
/// in ECR. Memory is rounded up to Lambda's least of 128 MiB and to whole MiB. Both parts of the environment together have at
/// most 4 KiB; Lambda encrypts them at rest, and whoever may read the function's configuration may read them.
///
/// # Calls
/// A call that is waited for takes and gives up to 6 MiB, one that is queued takes up to 1 MiB. A queued call that fails is repeated by
/// Lambda, twice if nothing else is configured. A call that is waited for is never repeated here; dropped, it runs on.
///
/// # What is seen
/// A function that nobody called for weeks is [`Stopped`](ResourceStatus::Stopped): Lambda has taken its place back. The next call fails
/// with [`Conflict`](ErrorKind::Conflict) and brings it back. The version is `$LATEST`, also after
/// [`update_code`](Self::update_code). When a function was made, Lambda does not say.
///
/// ```no_run
/// # use cloud_core::{ResourceId, Result};
/// # use cloud_aws::AwsCloud;
/// # async fn example(aws: &AwsCloud, function: &ResourceId) -> Result<()> {
/// let version = aws.aws_functions().publish_version(function, "first release").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AwsFunctions {
    account: Arc<Account>,
}

impl AwsFunctions {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone() }
    }

    pub(crate) fn capabilities(&self) -> FunctionsCapabilities {
        FunctionsCapabilities {
            names: names::FUNCTION,
            executables: false,
            archives: true,
            asynchronous: true,
            max_timeout: Duration::from_secs(900),
            max_payload_bytes: invoke::PAYLOAD_BYTES,
        }
    }

    /// A function, and the tag that says by which create it was made.
    async fn find(
        &self,
        region: &Region,
        name: &str,
    ) -> Result<Option<(Function, Option<String>)>> {
        let call = self.account.lambda(region)?.get_function().function_name(name);
        let answer = match call.send().await.map_err(reads("lambda")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        // Without its tags nobody would know whose it is.
        if let Some(why) = &answer.tags_error {
            let message = format!("the tags of '{name}' cannot be read: {}", why.message());
            let error =
                Error::new(ErrorKind::PermissionDenied, message).with_code(why.error_code());
            return Err(error.with_hint("allow lambda:ListTags"));
        }
        let (tags, made) = tags::read(answer.tags.unwrap_or_default());
        let Some(found) = answer.configuration else {
            return Ok(None);
        };
        Ok(Some((view(region, &found, tags)?, made)))
    }

    async fn get(&self, id: &ResourceId) -> Result<Function> {
        let found = self.find(&id.region, name_of(id)?).await?;
        found.map(|(function, _)| function).ok_or_else(|| Error::not_found(id))
    }

    async fn create(&self, spec: &FunctionSpec, request: &Request) -> Result<Function> {
        let call = self.create_call(spec, request).await?;
        let answer = match call.send().await.map_err(writes("lambda")) {
            Err(error) if has_code(&error, &["ResourceConflictException"]) => {
                return self.made_before(spec, request, error).await;
            }
            answer => answer?,
        };
        if let Err(error) = self.reserve(spec).await {
            // The function was made by this very call, so it is ours to take away.
            let undone = error.effect() == Effect::None
                && self.delete(&spec.region, &spec.name).await.is_ok();
            return Err(if undone { error } else { error.with_effect(Effect::Unknown) });
        }
        let made = FunctionConfiguration::builder()
            .set_function_name(answer.function_name)
            .set_version(answer.version)
            .set_state(answer.state)
            .set_last_update_status(answer.last_update_status)
            .build();
        view(&spec.region, &made, spec.tags.clone())
    }

    /// The name is taken: by this very create, when it was not known to have succeeded, or by another.
    async fn made_before(
        &self,
        spec: &FunctionSpec,
        request: &Request,
        error: Error,
    ) -> Result<Function> {
        // Gone meanwhile, or another change is under way.
        let Some((function, made)) = self.find(&spec.region, &spec.name).await? else {
            return Err(error);
        };
        if !request.made(made.as_deref())? {
            let message = format!("there is a function '{}' in {} already", spec.name, spec.region);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        self.reserve(spec).await.map_err(|e| e.with_effect(Effect::Unknown))?;
        Ok(function)
    }

    /// Sets the most calls at once, which the create itself cannot.
    async fn reserve(&self, spec: &FunctionSpec) -> Result<()> {
        let Some(most) = spec.concurrency else {
            return Ok(());
        };
        let most = i32::try_from(most)
            .map_err(|_| Error::invalid("concurrency", format_args!("is {most}"), "1 to 100000"))?;
        let call = self.account.lambda(&spec.region)?.put_function_concurrency();
        let call = call.function_name(&spec.name).reserved_concurrent_executions(most);
        call.send().await.map(drop).map_err(writes("lambda"))
    }

    async fn create_call(
        &self,
        spec: &FunctionSpec,
        request: &Request,
    ) -> Result<CreateFunctionFluentBuilder> {
        let settings = Settings::of(spec)?;
        let given = settings.given;
        let code = Code::read(&spec.code, given.code_object.as_ref()).await?;
        let environment = settings::environment(spec).await?;
        let environment = (!environment.is_empty())
            .then(|| Environment::builder().set_variables(Some(environment)).build());
        let timeout = i32::try_from(spec.timeout_seconds)
            .map_err(|_| Error::invalid("timeout_seconds", "is too large", "at most 900"))?;
        let tags = tags::for_create(&spec.tags, request)?;
        let call = self.account.lambda(&spec.region)?.create_function();
        Ok(call
            .function_name(&spec.name)
            .role(settings.role_arn)
            .set_runtime(spec.runtime.as_deref().map(Runtime::from))
            .set_handler(spec.handler.clone())
            .package_type(code.package_type())
            .code(code.of_new())
            .timeout(timeout)
            .memory_size(settings.memory_mib)
            .set_environment(environment)
            .set_architectures(settings.architecture.map(|one| vec![one]))
            .set_vpc_config(settings.network)
            .set_ephemeral_storage(settings.storage)
            .set_kms_key_arn(given.kms_key_arn)
            .set_layers((!given.layers.is_empty()).then_some(given.layers))
            .set_description(given.description)
            .set_tags(Some(tags.into_iter().collect())))
    }

    async fn delete(&self, region: &Region, name: &str) -> Result<bool> {
        let call = self.account.lambda(region)?.delete_function().function_name(name);
        match call.send().await.map_err(writes("lambda")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// A listing tells neither tags nor states, so each function is asked about.
    async fn list(
        &self,
        query: &ListQuery,
        region: Region,
        marker: Option<String>,
        size: i32,
    ) -> Result<listing::NativePage<Function>> {
        let (names, next) = match &query.name {
            Some(name) if names::FUNCTION.check("name", name).is_err() => (Vec::new(), None),
            Some(name) => (vec![name.clone()], None),
            None => {
                let call = self.account.lambda(&region)?.list_functions().max_items(size);
                let page = call.set_marker(marker).send().await.map_err(reads("lambda"))?;
                let functions = page.functions.unwrap_or_default();
                let names = functions.into_iter().filter_map(|f| f.function_name).collect();
                (names, page.next_marker)
            }
        };
        let region = &region;
        let views = stream::iter(names)
            .map(async |name: String| self.find(region, &name).await)
            .buffered(AT_ONCE);
        let views: Vec<_> = views.try_collect().await?;
        let views = views.into_iter().flatten().map(|(function, _)| function).collect();
        Ok((views, next.filter(|marker| !marker.is_empty())))
    }
}

/// The name that an id says, if it is one.
fn name_of(id: &ResourceId) -> Result<&str> {
    id.expect_kind(ResourceKind::Function)?;
    // Others may have made it: Lambda lets a name begin and end with a hyphen.
    NameRule { alphanumeric_ends: false, ..names::FUNCTION }.check("resource id", id.native())?;
    Ok(id.native())
}

fn view(region: &Region, found: &FunctionConfiguration, tags: Tags) -> Result<Function> {
    let name = found.function_name().unwrap_or_default();
    Ok(Function {
        id: listing::id(ResourceKind::Function, region, name)?,
        name: name.to_owned(),
        status: status(found),
        version: found.version().unwrap_or_default().to_owned(),
        tags,
        // Lambda tells only when it was last changed.
        created_at: None,
    })
}

/// ([Function states](https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html).)
fn status(function: &FunctionConfiguration) -> ResourceStatus {
    match function.state() {
        Some(State::Pending) => ResourceStatus::Creating,
        // An update that failed leaves the function as it was.
        Some(State::Active | State::ActiveNonInvocable) => match function.last_update_status() {
            Some(LastUpdateStatus::InProgress) => ResourceStatus::Updating,
            _ => ResourceStatus::Running,
        },
        Some(State::Inactive | State::Deactivated) => ResourceStatus::Stopped,
        Some(State::Deactivating) => ResourceStatus::Stopping,
        Some(State::Deleting) => ResourceStatus::Deleting,
        Some(State::Failed) => ResourceStatus::Failed,
        _ => ResourceStatus::Unknown,
    }
}

#[async_trait]
impl Functions for AwsFunctions {
    async fn create_function(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function> {
        let create = async {
            spec.check(&self.capabilities())?;
            code::check(spec)?;
            settings::check_environment(spec)?;
            Settings::of(spec)?;
            tags::check(&spec.tags)?;
            let run = |request| async move { self.create(spec, &request).await };
            self.account.tokens.once(ResourceKind::Function, spec, token, run).await
        };
        create.await.map_err(self.account.in_call("functions.create_function"))
    }

    async fn get_function(&self, id: &ResourceId) -> Result<Function> {
        self.get(id).await.map_err(self.account.in_call("functions.get_function"))
    }

    async fn list_functions_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Function>> {
        // Lambda gives at most 50, whatever is asked for.
        let size = listing::native_size(page, 1, 50);
        let listed = listing::regional(&self.account, query, page, |region, marker| {
            self.list(query, region, marker, size)
        });
        listed.await.map_err(self.account.in_call("functions.list_functions"))
    }

    async fn delete_function(&self, id: &ResourceId) -> Result<bool> {
        let delete = async { self.delete(&id.region, name_of(id)?).await };
        delete.await.map_err(self.account.in_call("functions.delete_function"))
    }

    async fn invoke(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation> {
        let call = async {
            let lambda = self.account.lambda(&id.region)?;
            invoke::call(&lambda, name_of(id)?, None, input, mode).await
        };
        call.await.map_err(self.account.in_call("functions.invoke"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_ready_only_when_it_is_active_and_settled() {
        let of = |state: Option<State>, update: Option<LastUpdateStatus>| {
            let found = FunctionConfiguration::builder().set_state(state);
            status(&found.set_last_update_status(update).build())
        };
        assert_eq!(of(Some(State::Pending), None), ResourceStatus::Creating);
        assert_eq!(of(Some(State::Active), None), ResourceStatus::Running);
        let under_way = Some(LastUpdateStatus::InProgress);
        assert_eq!(of(Some(State::Active), under_way), ResourceStatus::Updating);
        let failed = Some(LastUpdateStatus::Failed);
        assert_eq!(of(Some(State::Active), failed), ResourceStatus::Running);
        assert_eq!(of(Some(State::Inactive), None), ResourceStatus::Stopped);
        assert_eq!(of(Some(State::from("New")), None), ResourceStatus::Unknown);
        assert_eq!(of(None, None), ResourceStatus::Unknown);
    }
}
