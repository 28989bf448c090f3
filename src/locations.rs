//! Where a sync job's locations are found: at a URL, or in a bucket of a registered cloud.

use async_trait::async_trait;
use cloud_core::{
    CloudId, Clouds, Error, ObjectLocation, Region, ResourceId, ResourceKind, Result,
};
use cloud_objects::OpenOptions;
use cloud_patterns::sync::OpenLocation;

/// Opens `s3://`, `az://`, `gs://`, `oss://`, `oci://`, `file://` and `memory://` as [`cloud_objects::open`] does, and
/// `cloud://CLOUD/REGION/BUCKET/PREFIX` through the registered clouds, so that their interceptors are around every call.
///
/// ```
/// use multicloud::{UrlLocations, objects::OpenOptions};
/// # let clouds = multicloud::core::Clouds::default();
/// let locations = UrlLocations::new(OpenOptions::default()).with_clouds(clouds);
/// # drop(locations);
/// ```
#[derive(Debug, Default)]
pub struct UrlLocations {
    options: OpenOptions,
    clouds: Clouds,
}

impl UrlLocations {
    /// By URL only.
    pub fn new(options: OpenOptions) -> Self {
        Self { options, clouds: Clouds::default() }
    }

    /// Also in these clouds.
    pub fn with_clouds(mut self, clouds: Clouds) -> Self {
        self.clouds = clouds;
        self
    }

    async fn registered(&self, name: &str, rest: &str) -> Result<ObjectLocation> {
        let mut parts = rest.splitn(4, '/');
        let (Some(cloud), Some(region), Some(bucket)) = (parts.next(), parts.next(), parts.next())
        else {
            let accepted = "cloud://CLOUD/REGION/BUCKET or cloud://CLOUD/REGION/BUCKET/PREFIX";
            return Err(Error::invalid(
                "location",
                format_args!("'{name}' does not name a bucket"),
                accepted,
            ));
        };
        let prefix = parts.next().unwrap_or_default().trim_end_matches('/');
        let prefix = object_store::path::Path::parse(prefix).map_err(object_store::Error::from)?;
        let cloud = self.clouds.get(&CloudId::new(cloud)?)?;
        let id = ResourceId::new(ResourceKind::Bucket, Region::new(region)?, bucket)?;
        let mut location = cloud.storage()?.object_location(&id).await?;
        location.name = name.to_owned();
        location.prefix = prefix;
        Ok(location)
    }
}

#[async_trait]
impl OpenLocation for UrlLocations {
    async fn open(&self, name: &str) -> Result<ObjectLocation> {
        match name.strip_prefix("cloud://") {
            Some(rest) => self.registered(name, rest).await,
            None => cloud_objects::open(name, &self.options).await,
        }
    }
}
