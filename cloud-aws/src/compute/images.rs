//! Images: what an alias stands for, and what is known of an image by its id.

use aws_sdk_ec2::types::Filter;
use cloud_core::{Error, ErrorKind, Image, Region, Result};

use super::settings::Architecture;
use crate::{account::Account, error::reads};

/// Where the newest image of a system is named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// The public parameter of Systems Manager.
    parameter: String,
    /// The accounts that publish it, by AWS's partitions.
    owners: &'static [&'static str],
    /// The names of its images.
    pattern: String,
}

/// Canonical ([Find Ubuntu images](https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/)): everywhere, GovCloud, China.
const CANONICAL: &[&str] = &["099720109477", "513442679011", "837727238323"];
/// Debian ([Debian on AWS](https://wiki.debian.org/Cloud/AmazonEC2Image)).
const DEBIAN: &[&str] = &["136693071363"];
const AMAZON: &[&str] = &["amazon"];

/// What an alias stands for.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for an alias that is none.
fn source(alias: &str, architecture: Architecture) -> Result<Source> {
    let machine = architecture.as_str();
    let debian = match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Arm64 => "arm64",
    };
    let known = match alias.rsplit_once('-') {
        Some(("ubuntu", version)) => ubuntu(version).map(|volume| Source {
            parameter: format!(
                "/aws/service/canonical/ubuntu/server/{version}/stable/current/{debian}/hvm/{volume}/ami-id"
            ),
            owners: CANONICAL,
            pattern: format!("ubuntu/images/hvm-ssd*/ubuntu-*-{version}-{debian}-server-*"),
        }),
        Some(("debian", version)) if is_number(version) => Some(Source {
            parameter: format!("/aws/service/debian/release/{version}/latest/{debian}"),
            owners: DEBIAN,
            pattern: format!("debian-{version}-{debian}-*"),
        }),
        Some(("amazon-linux", "2023")) => Some(Source {
            parameter: format!(
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{machine}"
            ),
            owners: AMAZON,
            pattern: format!("al2023-ami-2023.*-{machine}"),
        }),
        Some(("amazon-linux", "2")) => Some(Source {
            parameter: format!(
                "/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-{machine}-gp2"
            ),
            owners: AMAZON,
            pattern: format!("amzn2-ami-kernel-5.10-hvm-*-{machine}-gp2"),
        }),
        _ => None,
    };
    known.ok_or_else(|| unknown(alias))
}

fn unknown(alias: &str) -> Error {
    Error::invalid(
        "image",
        format_args!("'{alias}' is no alias"),
        "ubuntu-YY.MM, debian-N, amazon-linux-2023, amazon-linux-2, or an image by its id",
    )
}

fn is_number(text: &str) -> bool {
    (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// The volume that an Ubuntu release boots from; `None` for what is no release.
fn ubuntu(version: &str) -> Option<&'static str> {
    let (year, month) = version.split_once('.')?;
    if year.len() != 2 || month.len() != 2 || !is_number(year) || !is_number(month) {
        return None;
    }
    Some(if version >= "23.10" { "ebs-gp3" } else { "ebs-gp2" })
}

/// Refuses an alias that is none, before any call.
pub(super) fn check(image: &Image) -> Result<()> {
    match image {
        Image::Id(_) => Ok(()),
        Image::Alias(alias) => source(alias, Architecture::X86_64).map(drop),
    }
}

/// The id of an image. An alias is looked up in Systems Manager, and where that does not know it or may not be asked, among
/// the images of those who publish that system; the newest counts.
pub(super) async fn resolve(
    account: &Account,
    region: &Region,
    image: &Image,
    architecture: Architecture,
) -> Result<String> {
    let alias = match image {
        Image::Id(id) => return Ok(id.clone()),
        Image::Alias(alias) => alias,
    };
    let source = source(alias, architecture)?;
    let asked = account.ssm(region)?.get_parameter().name(&source.parameter).send().await;
    match asked.map_err(reads("ssm")) {
        Ok(answer) => match answer.parameter.and_then(|parameter| parameter.value) {
            Some(id) => Ok(id),
            None => newest(account, region, &source, architecture, alias).await,
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            newest(account, region, &source, architecture, alias).await
        }
        Err(error) => Err(error),
    }
}

async fn newest(
    account: &Account,
    region: &Region,
    source: &Source,
    architecture: Architecture,
    alias: &str,
) -> Result<String> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let mut found = account
        .ec2(region)?
        .describe_images()
        .set_owners(Some(source.owners.iter().map(|owner| (*owner).to_owned()).collect()))
        .filters(filter("name", &source.pattern))
        .filters(filter("architecture", architecture.as_str()))
        .filters(filter("state", "available"))
        .filters(filter("root-device-type", "ebs"))
        .filters(filter("virtualization-type", "hvm"))
        .into_paginator()
        .items()
        .send();
    let mut newest: Option<(String, String)> = None;
    while let Some(image) = found.next().await {
        let image = image.map_err(reads("ec2"))?;
        // ISO 8601 in UTC: the order of the texts is that of the instants.
        let made = image.creation_date().unwrap_or_default().to_owned();
        let candidate = image.image_id().map(|id| (made, id.to_owned()));
        newest = newest.max(candidate);
    }
    newest.map(|(_, id)| id).ok_or_else(|| {
        Error::invalid(
            "image",
            format_args!("'{alias}' has no image of {} in {region}", architecture.as_str()),
            "a system that is published there, or an image by its id",
        )
    })
}

/// The device that an image boots from, and the size of its volume in GiB.
pub(super) async fn root(
    account: &Account,
    region: &Region,
    id: &str,
) -> Result<(String, Option<i32>)> {
    let answer =
        account.ec2(region)?.describe_images().image_ids(id).send().await.map_err(reads("ec2"))?;
    let image = answer.images().first();
    let device = image.and_then(|image| image.root_device_name());
    let Some((image, device)) = image.zip(device) else {
        return Err(Error::invalid(
            "image",
            format_args!("'{id}' has no root device that is known"),
            "an image by its id, for settings of the root volume",
        ));
    };
    let mappings = image.block_device_mappings().iter();
    let size = mappings
        .filter(|mapping| mapping.device_name() == Some(device))
        .find_map(|mapping| mapping.ebs()?.volume_size());
    Ok((device.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_its_parameter() {
        for (alias, architecture, parameter) in [
            (
                "ubuntu-24.04",
                Architecture::X86_64,
                "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
            ),
            (
                "ubuntu-22.04",
                Architecture::Arm64,
                "/aws/service/canonical/ubuntu/server/22.04/stable/current/arm64/hvm/ebs-gp2/ami-id",
            ),
            ("debian-12", Architecture::X86_64, "/aws/service/debian/release/12/latest/amd64"),
            (
                "amazon-linux-2023",
                Architecture::Arm64,
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
            ),
        ] {
            assert_eq!(source(alias, architecture).unwrap().parameter, parameter);
        }
    }

    #[test]
    fn what_is_no_alias_is_refused_with_those_that_are() {
        for alias in [
            "ubuntu",
            "ubuntu-24",
            "ubuntu-24.04/../x",
            "ubuntu-*",
            "debian-x",
            "debian-",
            "windows-2022",
        ] {
            let error = source(alias, Architecture::X86_64).unwrap_err().to_string();
            assert!(error.contains("debian-N"), "{alias}: {error}");
        }
    }
}
