//! What only Lambda has of a function's life: new code, published versions, calls to one of them.

use aws_sdk_lambda::types::FunctionConfiguration;
use cloud_core::{FunctionCode, Invocation, InvokeMode, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AwsCodeObject, AwsFunctions, code::Code, invoke, name_of};
use crate::error::{reads, writes};

/// A version of a function: `$LATEST`, which changes, or a published one, which does not.
///
/// ```
/// # use cloud_aws::AwsFunctionVersion;
/// fn is_published(version: &AwsFunctionVersion) -> bool { version.version != "$LATEST" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AwsFunctionVersion {
    /// Its number, or `$LATEST`.
    pub version: String,
    /// Its description.
    pub description: Option<String>,
    /// The SHA-256 of its archive in base64; of an image, its digest.
    pub code_sha256: Option<String>,
    /// The size of its archive in bytes; 0 for an image.
    pub code_bytes: u64,
    /// When it was last changed.
    pub modified_at: Option<Timestamp>,
}

impl From<FunctionConfiguration> for AwsFunctionVersion {
    fn from(answer: FunctionConfiguration) -> Self {
        Self {
            version: answer.version.unwrap_or_default(),
            description: answer.description.filter(|text| !text.is_empty()),
            code_sha256: answer.code_sha256,
            code_bytes: u64::try_from(answer.code_size).unwrap_or(0),
            modified_at: answer.last_modified.and_then(|text| text.parse().ok()),
        }
    }
}

/// What only Lambda has.
impl AwsFunctions {
    /// Publishes what `$LATEST` is as a version of its own. If nothing has changed since the last one was published, that is the
    /// answer, so this can be repeated
    /// ([PublishVersion](https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html)).
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound); [`Conflict`](cloud_core::ErrorKind::Conflict) while the function is
    /// being updated; or any. Dropped, the version may have been published.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// # use cloud_aws::AwsFunctions;
    /// # async fn example(functions: &AwsFunctions, id: &ResourceId) -> Result<()> {
    /// let version = functions.publish_version(id, "first release").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_version(
        &self,
        id: &ResourceId,
        description: &str,
    ) -> Result<AwsFunctionVersion> {
        let publish = async {
            let call = self.account.lambda(&id.region)?.publish_version();
            let call = call.function_name(name_of(id)?).description(description);
            let made = call.send().await.map_err(writes("lambda"))?;
            Ok(AwsFunctionVersion {
                version: made.version.unwrap_or_default(),
                description: made.description.filter(|text| !text.is_empty()),
                code_sha256: made.code_sha256,
                code_bytes: u64::try_from(made.code_size).unwrap_or(0),
                modified_at: made.last_modified.and_then(|text| text.parse().ok()),
            })
        };
        publish.await.map_err(self.account.in_call("functions.publish_version"))
    }

    /// All versions of a function, `$LATEST` among them.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound), or any.
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// # use cloud_aws::AwsFunctions;
    /// # async fn example(functions: &AwsFunctions, id: &ResourceId) -> Result<()> {
    /// for version in functions.list_versions(id).await? {
    ///     println!("{} {:?}", version.version, version.description);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_versions(&self, id: &ResourceId) -> Result<Vec<AwsFunctionVersion>> {
        let list = async {
            let call = self.account.lambda(&id.region)?.list_versions_by_function();
            let call = call.function_name(name_of(id)?);
            let mut pages = call.into_paginator().items().send();
            let mut versions = Vec::new();
            while let Some(version) = pages.next().await {
                versions.push(version.map_err(reads("lambda"))?.into());
            }
            Ok(versions)
        };
        list.await.map_err(self.account.in_call("functions.list_versions"))
    }

    /// Gives a function other code; its published versions keep theirs. The function is then
    /// [`Updating`](cloud_core::ResourceStatus::Updating) for some seconds. It can be repeated.
    ///
    /// # Errors
    /// [`NotFound`](cloud_core::ErrorKind::NotFound); [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an archive of
    /// more than 50 MiB; [`Conflict`](cloud_core::ErrorKind::Conflict) while another update is under way; or any.
    ///
    /// ```no_run
    /// # use cloud_core::{FunctionCode, ResourceId, Result};
    /// # use cloud_aws::AwsFunctions;
    /// # async fn example(functions: &AwsFunctions, id: &ResourceId) -> Result<()> {
    /// functions.update_code(id, &FunctionCode::Archive("build/orders.zip".into())).await
    /// # }
    /// ```
    pub async fn update_code(&self, id: &ResourceId, code: &FunctionCode) -> Result<()> {
        let update = async {
            name_of(id)?;
            self.update(id, Code::read(code, None).await?).await
        };
        update.await.map_err(self.account.in_call("functions.update_code"))
    }

    /// [`update_code`](Self::update_code) by an archive in S3.
    ///
    /// # Errors
    /// As [`update_code`](Self::update_code).
    ///
    /// ```no_run
    /// # use cloud_core::{ResourceId, Result};
    /// # use cloud_aws::{AwsCodeObject, AwsFunctions};
    /// # async fn example(functions: &AwsFunctions, id: &ResourceId) -> Result<()> {
    /// let object = AwsCodeObject { bucket: "builds".into(), key: "17.zip".into(), version: None };
    /// functions.update_code_from_s3(id, &object).await
    /// # }
    /// ```
    pub async fn update_code_from_s3(&self, id: &ResourceId, object: &AwsCodeObject) -> Result<()> {
        let update = self.update(id, Code::Object(object.clone()));
        update.await.map_err(self.account.in_call("functions.update_code"))
    }

    async fn update(&self, id: &ResourceId, code: Code) -> Result<()> {
        let call = self.account.lambda(&id.region)?.update_function_code();
        let call = code.of_update(call.function_name(name_of(id)?));
        call.send().await.map(drop).map_err(writes("lambda"))
    }

    /// [`invoke`](cloud_core::Functions::invoke) of one version or alias of a function.
    ///
    /// # Errors
    /// As [`invoke`](cloud_core::Functions::invoke); [`NotFound`](cloud_core::ErrorKind::NotFound) also for the version.
    ///
    /// ```no_run
    /// # use cloud_core::{InvokeMode, ResourceId, Result};
    /// # use cloud_aws::AwsFunctions;
    /// # async fn example(functions: &AwsFunctions, id: &ResourceId) -> Result<()> {
    /// let input = serde_json::json!({});
    /// let call = functions.invoke_version(id, "3", &input, InvokeMode::Wait).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn invoke_version(
        &self,
        id: &ResourceId,
        version: &str,
        input: &Value,
        mode: InvokeMode,
    ) -> Result<Invocation> {
        let call = async {
            let lambda = self.account.lambda(&id.region)?;
            invoke::call(&lambda, name_of(id)?, Some(version), input, mode).await
        };
        call.await.map_err(self.account.in_call("functions.invoke"))
    }
}
