//! `Functions`: code that the cloud runs on demand, JSON in and JSON out.

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{compute::check_environment, compute::check_range, listings};
use crate::{
    ByteSize, ClientToken, Error, FunctionsCapabilities, ListQuery, Overrides, Page, PageRequest,
    Region, ResourceId, ResourceStatus, Result, SecretRef, Tags, resource::view, text::check_name,
};

/// What a function runs.
///
/// ```
/// # use cloud_core::FunctionCode;
/// let code = FunctionCode::Executable(vec!["/usr/bin/jq".into(), ".email".into()]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FunctionCode {
    /// A program on this machine and its arguments: the input comes on standard input, the output is read
    /// from standard output, exit code 0 is success.
    Executable(Vec<String>),
    /// A zip archive on this machine, uploaded when the function is deployed.
    Archive(PathBuf),
    /// A container image that the provider can pull.
    Image(String),
}

/// A request for a function, the same for every cloud.
///
/// ```
/// use cloud_core::{FunctionCode, FunctionSpec, Region};
/// let code = FunctionCode::Executable(vec!["/bin/cat".into()]);
/// assert!(FunctionSpec::new("echo", Region::new("eu-1").unwrap(), code).validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// What it runs.
    pub code: FunctionCode,
    /// The provider's name of the runtime, for an archive: `python3.13`, `nodejs22.x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The entry point in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Its environment. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The part of the environment that is secret, by reference; resolved when the function is deployed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_environment: BTreeMap<String, SecretRef>,
    /// Main memory. Default 128 MiB.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// The longest time that one call may take, in whole seconds. Default 30.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
    /// The most calls at once; more are refused with [`RateLimited`](crate::ErrorKind::RateLimited). `None` is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

fn default_memory() -> ByteSize {
    ByteSize::mib(128)
}

fn default_timeout() -> u32 {
    30
}

impl FunctionSpec {
    /// A function with everything else at its default.
    pub fn new(name: impl Into<String>, region: Region, code: FunctionCode) -> Self {
        Self {
            name: name.into(),
            region,
            code,
            runtime: None,
            handler: None,
            environment: BTreeMap::new(),
            secret_environment: BTreeMap::new(),
            memory: default_memory(),
            timeout_seconds: default_timeout(),
            concurrency: None,
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("function name", &self.name)?;
        if let FunctionCode::Executable(command) = &self.code
            && (command.first().is_none_or(String::is_empty)
                || command.iter().any(|part| part.contains('\0')))
        {
            return Err(Error::invalid(
                "code.executable",
                "has no program or a NUL character",
                "a program's path and its arguments",
            ));
        }
        check_range("timeout_seconds", u64::from(self.timeout_seconds), 1, 86_400)?;
        check_range("memory", self.memory.bytes(), 1 << 20, 1 << 44)?;
        if let Some(n) = self.concurrency {
            check_range("concurrency", u64::from(n), 1, 100_000)?;
        }
        check_environment(&self.environment, &self.secret_environment)
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &FunctionsCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("function name", &self.name)?;
        match &self.code {
            FunctionCode::Executable(_) if !can.executables => {
                return Err(Error::unsupported("functions that are executables of this machine"));
            }
            FunctionCode::Archive(_) if !can.archives => {
                return Err(Error::unsupported("functions from zip archives"));
            }
            _ => {}
        }
        check_range(
            "timeout_seconds",
            u64::from(self.timeout_seconds),
            1,
            can.max_timeout.as_secs(),
        )
    }
}

/// A function, as its cloud reports it.
///
/// ```
/// # use cloud_core::Function;
/// fn label(function: &Function) -> String { format!("{} v{}", function.name, function.version) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The provider's version of its code.
    pub version: String,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// How a call is made.
///
/// ```
/// assert_eq!(cloud_core::InvokeMode::default(), cloud_core::InvokeMode::Wait);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvokeMode {
    /// Wait for the output.
    #[default]
    Wait,
    /// Queue the call and return at once.
    Queue,
}

/// What a call gave.
///
/// ```
/// # use cloud_core::Invocation;
/// fn succeeded(call: &Invocation) -> bool { call.error.is_none() }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The provider's id of the call.
    pub request_id: String,
    /// What it returned; `None` if it was queued or failed.
    pub output: Option<Value>,
    /// What the function itself said went wrong; the call as such succeeded.
    pub error: Option<String>,
    /// How long it ran, where known.
    pub duration: Option<Duration>,
}

/// Functions. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{Functions, InvokeMode, ResourceId, Result};
/// async fn greet(functions: &dyn Functions, id: &ResourceId) -> Result<Option<String>> {
///     let input = serde_json::json!({"name": "Ada"});
///     let call = functions.invoke(id, &input, InvokeMode::Wait).await?;
///     Ok(call.output.and_then(|o| o["greeting"].as_str().map(str::to_owned)))
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Functions: Debug + Send + Sync {
    /// Deploys a function.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_function(&self, spec: &FunctionSpec, token: &ClientToken) -> Result<Function>;

    /// One function.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_function(&self, id: &ResourceId) -> Result<Function>;

    /// One page of the functions. See [`FunctionsExt::list_functions`].
    ///
    /// # Errors
    /// Any.
    async fn list_functions_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Function>>;

    /// Deletes a function. Calls that run are finished or broken off, as the provider does. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_function(&self, id: &ResourceId) -> Result<bool>;

    /// Calls a function. That the function itself fails is no error of the call: see [`Invocation::error`].
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`Timeout`](crate::ErrorKind::Timeout) with an unknown effect if it ran too long;
    /// [`RateLimited`](crate::ErrorKind::RateLimited) if too many run; [`InvalidInput`](crate::ErrorKind::InvalidInput) for too large an input; or any.
    async fn invoke(&self, id: &ResourceId, input: &Value, mode: InvokeMode) -> Result<Invocation>;
}

view!(Function);

listings! {
    /// Sugar over [`Functions`].
    FunctionsExt: Functions {
        /// The functions that match.
        list_functions by list_functions_page(ListQuery) -> Function;
    }
}
