//! AWS's rules for names, checked before any call.

use cloud_core::{Alphabet, Error, NameRule, ResourceId, ResourceKind, Result};

/// Of what is named by a `Name` tag only: instances, networks, subnets, peerings
/// ([Tag restrictions](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html)). Firewalls keep to it too; AWS takes up to 255 characters of them.
pub(crate) const TAGGED: NameRule =
    NameRule { min: 1, max: 63, alphabet: Alphabet::AsciiWord, alphanumeric_ends: false };

/// Of buckets ([Bucket naming rules](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)).
pub(crate) const BUCKET: NameRule =
    NameRule { min: 3, max: 63, alphabet: Alphabet::LowerDnsDots, alphanumeric_ends: true };

/// Of database servers and snapshots ([CreateDBInstance](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html)).
pub(crate) const DATABASE: NameRule =
    NameRule { min: 1, max: 63, alphabet: Alphabet::LowerDns, alphanumeric_ends: true };

/// Of clusters ([CreateCluster](https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html)).
pub(crate) const CLUSTER: NameRule =
    NameRule { min: 1, max: 100, alphabet: Alphabet::AsciiLabel, alphanumeric_ends: true };

/// Of functions ([CreateFunction](https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html)).
pub(crate) const FUNCTION: NameRule =
    NameRule { min: 1, max: 64, alphabet: Alphabet::AsciiLabel, alphanumeric_ends: true };

/// [`BUCKET`], and what AWS says of buckets besides.
pub(crate) fn check_bucket(name: &str) -> Result<()> {
    BUCKET.check("bucket name", name)?;
    let reserved_front = ["xn--", "sthree-", "amzn-s3-demo-"];
    let reserved_end = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let problem = if name.contains("..") {
        "has two dots in a row"
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        "has the form of an IP address"
    } else if reserved_front.iter().any(|front| name.starts_with(front)) {
        "begins with a reserved prefix"
    } else if reserved_end.iter().any(|end| name.ends_with(end)) {
        "ends with a reserved suffix"
    } else {
        return Ok(());
    };
    let rule = "no '..', no IP address, none of the prefixes xn--, sthree-, amzn-s3-demo- and the suffixes -s3alias, --ol-s3, .mrap, --x-s3, --table-s3";
    Err(Error::invalid("bucket name", format_args!("'{name}' {problem}"), rule))
}

/// [`DATABASE`], and what AWS says of identifiers besides.
pub(crate) fn check_database(field: &str, name: &str) -> Result<()> {
    DATABASE.check(field, name)?;
    let problem = if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "does not begin with a letter"
    } else if name.contains("--") {
        "has two hyphens in a row"
    } else {
        return Ok(());
    };
    let rule = "a letter first, and no two hyphens in a row";
    Err(Error::invalid(field, format_args!("'{name}' {problem}"), rule))
}

/// Refuses what is not the ARN of a role, or is missing
/// ([IAM identifiers](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html)).
pub(crate) fn check_role(field: &str, role: Option<&str>) -> Result<String> {
    let rule = "arn:aws:iam::ACCOUNT:role/NAME";
    let Some(role) = role else {
        return Err(Error::invalid(field, "is missing", rule));
    };
    let parts: Vec<_> = role.splitn(6, ':').collect();
    let good = match parts[..] {
        ["arn", partition, "iam", "", account, name] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && name.strip_prefix("role/").is_some_and(|name| !name.is_empty())
        }
        _ => false,
    };
    match good {
        true => Ok(role.to_owned()),
        false => Err(Error::invalid(field, format_args!("is '{role}'"), rule)),
    }
}

/// Refuses ids of other kinds, and what cannot be the id of an instance, before any call.
pub(crate) fn check_instance_id(id: &ResourceId) -> Result<()> {
    id.expect_kind(ResourceKind::Instance)?;
    let digits = id.native().strip_prefix("i-").unwrap_or_default();
    let good = (8..=17).contains(&digits.len())
        && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(Error::not_found(id)) }
}

#[cfg(test)]
mod tests {
    use cloud_core::{ErrorKind, Region};

    use super::*;

    #[test]
    fn names_that_aws_refuses_are_refused_by_their_rule() {
        for name in [
            "ab",
            "My-Bucket",
            "a..b",
            "192.168.0.1",
            "xn--a",
            "a-s3alias",
            "-ab",
            "ab-",
            &"x".repeat(64),
        ] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
        for name in ["abc", "my.bucket-1", "1abc", &"x".repeat(63)] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        for name in ["1orders", "or--ders", "orders-", "Orders", "or_ders", ""] {
            assert!(check_database("database name", name).is_err(), "{name}");
        }
        assert!(check_database("database name", "orders-1").is_ok());
        assert!(FUNCTION.check("function name", "a.b").is_err());
        for role in ["arn:aws:iam::123456789012:role/a", "arn:aws-cn:iam::123456789012:role/x/y"] {
            assert_eq!(check_role("role", Some(role)).unwrap(), role);
        }
        for role in ["role/a", "arn:aws:iam::12345:role/a", "arn:aws:iam::123456789012:user/a"] {
            assert!(check_role("role", Some(role)).is_err(), "{role}");
        }
    }

    #[test]
    fn only_what_looks_like_an_instance_is_asked_for() {
        let id = |native: &str| {
            let region = Region::new("eu-central-1").unwrap();
            ResourceId::new(ResourceKind::Instance, region, native).unwrap()
        };
        assert!(check_instance_id(&id("i-0123456789abcdef0")).is_ok());
        assert!(check_instance_id(&id("i-0123abcd")).is_ok());
        for native in
            ["..", "i-", "i-012345", "i-0123456789ABCDEF0", "i-0123abcd/../x", "vol-0123abcd"]
        {
            assert_eq!(
                check_instance_id(&id(native)).unwrap_err().kind(),
                ErrorKind::NotFound,
                "{native}"
            );
        }
    }
}
