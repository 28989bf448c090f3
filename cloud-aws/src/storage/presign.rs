//! Presigned URLs: signed here, with nothing asked of S3.

use std::time::Duration;

use aws_sdk_s3::{
    config::{Config, RequestChecksumCalculation},
    presigning::PresigningConfig,
};
use cloud_core::{Error, PresignMethod, PresignRequest, Result, SecretString};

use super::AwsStorage;
use crate::error::reads;

/// The longest that a signature of version 4 holds
/// ([Query authentication](https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html)).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

impl AwsStorage {
    /// Whether the bucket and the object exist is not looked at. The URL ends with the credentials that signed it: of a role, that is
    /// often after an hour, whatever was asked for.
    pub(super) async fn presigned(&self, request: &PresignRequest) -> Result<SecretString> {
        let client = self.client(&request.bucket)?;
        let (bucket, key) = (request.bucket.native(), request.location.as_ref());
        if key.is_empty() || key.len() > 1024 {
            let problem = format!("has {} bytes", key.len());
            return Err(Error::invalid("location", problem, "a key of 1 to 1024 bytes"));
        }
        // S3 counts whole seconds.
        let time = Duration::from_secs(request.expires_in.as_secs());
        if time.is_zero() || request.expires_in > LONGEST {
            let problem = format!("is {:?}", request.expires_in);
            return Err(Error::invalid("expires_in", problem, "1 second to 7 days"));
        }
        let time = PresigningConfig::expires_in(time)
            .map_err(|e| Error::invalid("expires_in", e, "1 second to 7 days"))?;
        // The sum of a body that is not known yet would be that of none.
        let unsummed = Config::builder()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        let signed = match request.method {
            PresignMethod::Get => {
                let call = client.get_object().bucket(bucket).key(key);
                call.presigned(time).await.map_err(reads("s3"))?
            }
            PresignMethod::Put => {
                let call = client.put_object().bucket(bucket).key(key).customize();
                let call = call.config_override(unsummed);
                call.presigned(time).await.map_err(reads("s3"))?
            }
            PresignMethod::Delete => {
                let call = client.delete_object().bucket(bucket).key(key);
                call.presigned(time).await.map_err(reads("s3"))?
            }
        };
        Ok(signed.uri().to_owned().into())
    }
}
