//! The code of functions: archives of this machine or in S3, and images.

use std::path::Path;

use aws_sdk_lambda::{
    operation::update_function_code::builders::UpdateFunctionCodeFluentBuilder,
    primitives::Blob,
    types::{FunctionCode as LambdaCode, PackageType},
};
use cloud_core::{Error, FunctionCode, FunctionSpec, Result};

use super::settings::AwsCodeObject;

/// The largest archive that is sent with the call
/// ([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)).
const ARCHIVE_BYTES: u64 = 50 << 20;

/// Code as Lambda takes it.
#[derive(Debug)]
pub(super) enum Code {
    Archive(Blob),
    Object(AwsCodeObject),
    Image(String),
}

impl Code {
    /// Reads the code that is meant. An archive in S3 stands in for one of this machine.
    pub(super) async fn read(code: &FunctionCode, object: Option<&AwsCodeObject>) -> Result<Self> {
        match (code, object) {
            (FunctionCode::Archive(_), Some(object)) => Ok(Self::Object(object.clone())),
            (FunctionCode::Archive(path), None) => archive(path).await.map(Self::Archive),
            (FunctionCode::Image(image), None) => Ok(Self::Image(image.clone())),
            (FunctionCode::Image(_), Some(_)) => Err(Error::invalid(
                "overrides.aws.code_object",
                "is given beside an image",
                "one of the two",
            )),
            _ => Err(Error::unsupported("functions that are executables of this machine")),
        }
    }

    pub(super) fn package_type(&self) -> PackageType {
        match self {
            Self::Image(_) => PackageType::Image,
            Self::Archive(_) | Self::Object(_) => PackageType::Zip,
        }
    }

    pub(super) fn of_new(self) -> LambdaCode {
        let code = LambdaCode::builder();
        match self {
            Self::Archive(archive) => code.zip_file(archive),
            Self::Object(object) => code
                .s3_bucket(object.bucket)
                .s3_key(object.key)
                .set_s3_object_version(object.version),
            Self::Image(image) => code.image_uri(image),
        }
        .build()
    }

    pub(super) fn of_update(
        self,
        call: UpdateFunctionCodeFluentBuilder,
    ) -> UpdateFunctionCodeFluentBuilder {
        match self {
            Self::Archive(archive) => call.zip_file(archive),
            Self::Object(object) => call
                .s3_bucket(object.bucket)
                .s3_key(object.key)
                .set_s3_object_version(object.version),
            Self::Image(image) => call.image_uri(image),
        }
    }
}

/// Refuses a spec whose parts do not fit its code: an archive has a runtime and an entry point, an image brings its own.
pub(super) fn check(spec: &FunctionSpec) -> Result<()> {
    let is_archive = matches!(spec.code, FunctionCode::Archive(_));
    for (field, given) in [("runtime", &spec.runtime), ("handler", &spec.handler)] {
        match (is_archive, given) {
            (true, None) => {
                let rule = "what Lambda documents, such as python3.13 and app.handler";
                return Err(Error::invalid(field, "is missing", rule));
            }
            (false, Some(given)) => {
                let problem = format!("is '{given}'");
                return Err(Error::invalid(field, problem, "none: an image brings its own"));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn archive(path: &Path) -> Result<Blob> {
    let field = format!("code.archive {}", path.display());
    let unreadable = |e: std::io::Error| {
        Error::invalid(&field, format_args!("is unreadable: {e}"), "a zip archive on this machine")
    };
    let size = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if size > ARCHIVE_BYTES {
        let problem = format!("has {size} bytes");
        let rule =
            format!("at most {ARCHIVE_BYTES}; a larger one from S3 by overrides.aws.code_object");
        return Err(Error::invalid(&field, problem, rule));
    }
    let bytes = tokio::fs::read(path).await.map_err(unreadable)?;
    // The mark of the first entry.
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(Error::invalid(&field, "is no zip archive, or an empty one", "a zip archive"));
    }
    Ok(Blob::new(bytes))
}

#[cfg(test)]
mod tests {
    use cloud_core::Region;

    use super::*;

    async fn problem(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        match archive(file.path()).await {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn an_archive_is_read_if_it_is_one_and_not_too_large() {
        assert_eq!(problem(b"PK\x03\x04...").await, "");
        assert!(problem(b"#!/bin/sh").await.contains("is no zip archive"));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(ARCHIVE_BYTES + 1).unwrap();
        let error = archive(file.path()).await.unwrap_err().to_string();
        assert!(error.contains("overrides.aws.code_object"), "{error}");
        let error = archive(Path::new("/no/such.zip")).await.unwrap_err().to_string();
        assert!(error.contains("/no/such.zip is unreadable"), "{error}");
    }

    #[test]
    fn an_archive_needs_what_an_image_brings() {
        let region = Region::new("eu-1").unwrap();
        let archive = FunctionCode::Archive("x.zip".into());
        let mut spec = FunctionSpec::new("f", region, archive);
        assert!(check(&spec).unwrap_err().to_string().contains("runtime is missing"));
        spec.runtime = Some("python3.13".into());
        assert!(check(&spec).unwrap_err().to_string().contains("handler is missing"));
        spec.handler = Some("app.handler".into());
        assert!(check(&spec).is_ok());
        spec.code = FunctionCode::Image("repo/app:1".into());
        assert!(check(&spec).unwrap_err().to_string().contains("an image brings its own"));
    }
}
