//! S3, and what speaks like it: Alibaba OSS and Oracle Object Storage too.

use std::{env, sync::Arc};

use cloud_core::{
    ETagMeaning, Error, ErrorKind, ObjectLocation, Provider, Result, Transport,
    secret::ExposeSecret,
};
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut, S3CopyIfNotExists,
};
use ring::digest;

use crate::{
    Credentials, OpenOptions,
    address::{Address, Place, endpoint},
    http::Dialect,
    open::{client_options, remote, transport, unbuildable, unfit},
    profile::{Keys, Profile},
    sigv4::KeyCache,
};

pub(crate) async fn open(address: Address, options: &OpenOptions) -> Result<ObjectLocation> {
    let (mut parts, connector) = remote(Dialect::S3, options);
    let traits = &mut parts.traits;
    let parameters = &address.parameters;

    let profile = match (&address.place, &options.credentials) {
        (Place::S3(_) | Place::Oci(_), Credentials::Default) => {
            profile_of_chain(parameters.profile.as_deref()).await?
        }
        _ => Profile::default(),
    };
    let mut builder = with_credentials(&address.place, options, &profile)?;

    let region = parameters.region.clone().or_else(|| builder.get_config_value(&Key::Region));
    let region = region.or(profile.region);
    let given = parameters.endpoint.clone();
    let (bucket, server) = match &address.place {
        Place::Oss(bucket) => {
            traits.provider = Provider::Alibaba;
            let region = needed("region", region.clone(), "?region=cn-hangzhou or the like")?;
            builder = builder
                .with_virtual_hosted_style_request(true)
                .with_disable_bulk_delete(true)
                // It has a header of its own for that.
                .with_conditional_put(S3ConditionalPut::Disabled);
            let own = format!("https://{bucket}.oss-{region}.aliyuncs.com");
            (bucket, given.map_or_else(|| endpoint(&own), Ok)?)
        }
        Place::Oci(bucket) => {
            traits.provider = Provider::Oracle;
            let server = match given {
                Some(server) => server,
                None => {
                    let region =
                        needed("region", region.clone(), "?region=eu-frankfurt-1 or the like")?;
                    let namespace = parameters.namespace.clone();
                    let namespace = needed(
                        "namespace",
                        namespace,
                        "?namespace=NAME of the tenancy's object storage",
                    )?;
                    endpoint(&format!(
                        "https://{namespace}.compat.objectstorage.{region}.oraclecloud.com"
                    ))?
                }
            };
            (bucket, server)
        }
        Place::S3(bucket) => {
            let configured = builder
                .get_config_value(&Key::S3Endpoint)
                .or_else(|| builder.get_config_value(&Key::Endpoint))
                .or(profile.endpoint);
            let server = match (given, configured) {
                (Some(server), _) => Some(server),
                (None, Some(text)) => Some(endpoint(&text)?),
                (None, None) => None,
            };
            traits.e_tag = e_tag(&builder, bucket);
            match server {
                Some(server) => {
                    let aws = server.host_str().is_some_and(|host| {
                        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
                    });
                    traits.provider = if aws { Provider::Aws } else { Provider::Other };
                    (bucket, server)
                }
                None => {
                    traits.provider = Provider::Aws;
                    let region = region.as_deref().unwrap_or("us-east-1");
                    (bucket, endpoint(&format!("https://s3.{region}.amazonaws.com"))?)
                }
            }
        }
        other => return Err(Error::new(ErrorKind::Internal, format!("{other:?} is not S3"))),
    };
    traits.transport = transport(&server, options)?;
    let knows_condition = options.conditional_copy || traits.provider == Provider::Aws;
    if knows_condition && builder.get_config_value(&Key::CopyIfNotExists).is_none() {
        let header = S3CopyIfNotExists::Header("if-none-match".into(), "*".into());
        builder = builder.with_copy_if_not_exists(header);
    }

    let directory = bucket.ends_with("--x-s3");
    let own_endpoint = directory && traits.provider == Provider::Aws;
    if own_endpoint {
        builder = builder.with_s3_express(true);
    } else {
        let server = server.as_str().trim_end_matches('/');
        // The one that the environment may name for S3 alone would hold else.
        builder = builder.with_config(Key::S3Endpoint, server);
    }
    let unsigned = traits.transport != Transport::Plain;
    let checksum = builder.get_config_value(&Key::Checksum).is_some();
    traits.list_ordered = !directory;
    traits.list_from = !directory;
    traits.attributes = true;
    traits.streamed_put = unsigned && !checksum;
    traits.put_checks_md5 = true;
    traits.bucket = Some(bucket.clone());
    traits.copy_scope = Some(format!("s3 {server} {bucket} {}", identity(&builder, options)));
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_unsigned_payload(unsigned)
        .with_client_options(client_options(options))
        .with_retry(options.retry.clone())
        .with_crypto_provider(Arc::new(KeyCache::default()))
        .with_http_connector(connector)
        .build()
        .map_err(|e| unbuildable(e, &address))?;
    Ok(parts.with(store, &address))
}

fn needed(name: &str, value: Option<String>, accepted: &str) -> Result<String> {
    value.ok_or_else(|| Error::invalid(name, "is not known", accepted))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The profile, which only speaks where the variables have no keys; one that was asked for by the URL goes before them.
async fn profile_of_chain(asked: Option<&str>) -> Result<Profile> {
    if asked.is_none() && variable("AWS_ACCESS_KEY_ID").is_some() {
        // Its region and endpoint may still be wanted, its keys are not.
        return Ok(Profile::load(None)
            .await
            .map(|p| Profile { keys: None, ..p })
            .unwrap_or_default());
    }
    Profile::load(asked).await
}

fn with_credentials(
    place: &Place,
    options: &OpenOptions,
    profile: &Profile,
) -> Result<AmazonS3Builder> {
    let with = |builder: AmazonS3Builder, keys: &Keys| {
        let builder = builder
            .with_access_key_id(&keys.id)
            .with_secret_access_key(keys.secret.expose_secret());
        match &keys.session {
            Some(token) => builder.with_token(token.expose_secret()),
            None => builder,
        }
    };
    match (&options.credentials, place) {
        (Credentials::Anonymous, _) => Ok(AmazonS3Builder::new().with_skip_signature(true)),
        (Credentials::AccessKey { id, secret, session }, _) => {
            let keys = Keys { id: id.clone(), secret: secret.clone(), session: session.clone() };
            Ok(with(settings_of_environment(place), &keys))
        }
        (Credentials::Provider { keys, .. }, _) => {
            Ok(AmazonS3Builder::new().with_credentials(keys.clone()))
        }
        (Credentials::Default, Place::Oss(_)) => {
            let (id, secret) = (
                variable("ALIBABA_CLOUD_ACCESS_KEY_ID"),
                variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
            );
            let (Some(id), Some(secret)) = (id, secret) else {
                let problem = "no ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET in the environment";
                return Err(Error::new(ErrorKind::Unauthenticated, problem));
            };
            let session = variable("ALIBABA_CLOUD_SECURITY_TOKEN").map(Into::into);
            Ok(with(AmazonS3Builder::new(), &Keys { id, secret: secret.into(), session }))
        }
        (Credentials::Default, _) => {
            let builder = settings_of_environment(place);
            Ok(match &profile.keys {
                Some(keys) => with(builder, keys),
                None => builder,
            })
        }
        _ => Err(unfit(options, "S3", "an access key")),
    }
}

/// What `AWS_*` variables say, keys among it.
fn settings_of_environment(place: &Place) -> AmazonS3Builder {
    match place {
        Place::Oss(_) => AmazonS3Builder::new(),
        _ => AmazonS3Builder::from_env(),
    }
}

fn e_tag(builder: &AmazonS3Builder, bucket: &str) -> ETagMeaning {
    let setting = |name: &str| {
        let key = name.parse().ok();
        key.and_then(|key: Key| builder.get_config_value(&key))
    };
    let own_key = setting("aws_server_side_encryption").is_some_and(|kind| kind != "AES256");
    let customer = setting("aws_sse_customer_key_base64").is_some();
    match own_key || customer || bucket.ends_with("--x-s3") {
        true => ETagMeaning::Opaque,
        false => ETagMeaning::ContentMd5,
    }
}

/// Who asks, without saying it: two handles of this process with the same identity have the same rights.
fn identity(builder: &AmazonS3Builder, options: &OpenOptions) -> String {
    match (&options.credentials, builder.get_config_value(&Key::AccessKeyId)) {
        (Credentials::Provider { identity, .. }, _) => identity.clone(),
        (_, Some(id)) => {
            let hash = digest::digest(&digest::SHA256, id.as_bytes());
            hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
        }
        (_, None) => "default".into(),
    }
}
