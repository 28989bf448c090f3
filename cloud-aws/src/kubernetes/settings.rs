//! `AwsCluster`: what a cluster on EKS takes beyond the portable spec.

use cloud_core::{ClusterSpec, Error, Provider, ProviderOverrides, Result};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::names;

/// The settings of a cluster that only EKS has
/// ([CreateCluster](https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html),
/// [CreateNodegroup](https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html)).
///
/// The API server of a new cluster can be reached from its network only. [`public_access_cidrs`](Self::public_access_cidrs) opens it
/// to more.
///
/// ```
/// use cloud_aws::AwsCluster;
/// use cloud_core::{ClusterSpec, Region};
///
/// let mut spec = ClusterSpec::new("main", Region::new("eu-central-1").unwrap());
/// spec.overrides
///     .set(&AwsCluster {
///         role_arn: Some("arn:aws:iam::123456789012:role/eks".into()),
///         node_role_arn: Some("arn:aws:iam::123456789012:role/eks-nodes".into()),
///         public_access_cidrs: vec!["203.0.113.0/24".parse().unwrap()],
///         ..AwsCluster::default()
///     })
///     .unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsCluster {
    /// The role that EKS takes on to manage the cluster. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The role of the nodes. Required if the cluster has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_role_arn: Option<String>,
    /// The subnets of the cluster and its nodes, in at least two zones. Empty: all of the spec's network, or of the region's default one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnet_ids: Vec<String>,
    /// More security groups of the API server's network interfaces; EKS makes one for the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    /// Who may reach the API server from outside of its network. Empty: nobody, and then a kubeconfig is of use only inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public_access_cidrs: Vec<IpNet>,
    /// Has to be set for addresses that are everybody's (`0.0.0.0/0`). With no addresses given, it opens the API server to all IPv4.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub public_access_for_everyone: bool,
    /// A KMS key to encrypt the cluster's secrets with, besides the encryption by a key of AWS that every cluster has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_kms_key_arn: Option<String>,
    /// Which logs of the control plane go to CloudWatch: `api`, `audit`, `authenticator`, `controllerManager`, `scheduler`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_types: Vec<String>,
    /// The addresses of services within the cluster. Default: EKS chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_cidr: Option<Ipv4Net>,
    /// Whether the cluster cannot be deleted until this is switched off again in EKS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletion_protection: bool,
    /// A Kubernetes version that EKS offers and the capabilities here do not list yet, in place of the spec's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The image of the nodes, as `AL2023_ARM_64_STANDARD`. Default: EKS chooses by the node's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ami_type: Option<String>,
    /// The disk of each node, in GiB. Default: EKS's 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_disk_gib: Option<u16>,
    /// Whether the nodes are bought at the spot price, and may be taken away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spot_nodes: bool,
}

impl ProviderOverrides for AwsCluster {
    const PROVIDER: Provider = Provider::Aws;
}

const LOG_TYPES: [&str; 5] = ["api", "audit", "authenticator", "controllerManager", "scheduler"];

/// The settings of a spec, checked together with it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) role_arn: String,
    /// Empty if there are no nodes.
    pub(super) node_role_arn: String,
    pub(super) version: Option<String>,
    pub(super) public_access_cidrs: Vec<String>,
    pub(super) given: AwsCluster,
}

impl Settings {
    pub(super) fn of(spec: &ClusterSpec) -> Result<Self> {
        let given = spec.overrides.get::<AwsCluster>()?.unwrap_or_default();
        let role_arn = role("role_arn", given.role_arn.as_deref())?;
        let node_role_arn = match spec.node_pools.is_empty() {
            true => String::new(),
            false => role("node_role_arn", given.node_role_arn.as_deref())?,
        };
        let version = match (&spec.version, &given.version) {
            (Some(_), Some(_)) => {
                let problem = "is given beside the spec's version";
                return Err(Error::invalid("overrides.aws.version", problem, "one of the two"));
            }
            (version, None) | (None, version) => version.clone(),
        };
        if let Some(unknown) = given.log_types.iter().find(|l| !LOG_TYPES.contains(&l.as_str())) {
            let problem = format!("has '{unknown}'");
            return Err(Error::invalid("overrides.aws.log_types", problem, LOG_TYPES.join(", ")));
        }
        if given.node_disk_gib == Some(0) {
            return Err(Error::invalid("overrides.aws.node_disk_gib", "is 0", "1 or more"));
        }
        let public_access_cidrs = public_access(&given)?;
        Ok(Self { role_arn, node_role_arn, version, public_access_cidrs, given })
    }
}

fn role(name: &str, given: Option<&str>) -> Result<String> {
    let field = format!("overrides.aws.{name}");
    names::check_role(&field, given)
}

/// Whom the API server is opened to. Everybody only if that is said by name.
fn public_access(given: &AwsCluster) -> Result<Vec<String>> {
    let cidrs = &given.public_access_cidrs;
    match (given.public_access_for_everyone, cidrs.iter().find(|net| net.prefix_len() == 0)) {
        (false, Some(everyone)) => Err(Error::invalid(
            "overrides.aws.public_access_cidrs",
            format_args!("has {everyone}, which is everybody"),
            "narrower addresses, or public_access_for_everyone",
        )),
        (true, _) if cidrs.is_empty() => Ok(vec!["0.0.0.0/0".into()]),
        _ => Ok(cidrs.iter().map(ToString::to_string).collect()),
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::{InstanceSize, NodePoolSpec, Region};

    use super::*;

    fn spec(settings: AwsCluster) -> ClusterSpec {
        let mut spec = ClusterSpec::new("main", Region::new("eu-1").unwrap());
        spec.overrides.set(&settings).unwrap();
        spec
    }

    fn settings() -> AwsCluster {
        AwsCluster {
            role_arn: Some("arn:aws:iam::123456789012:role/eks".into()),
            ..AwsCluster::default()
        }
    }

    fn problem(spec: &ClusterSpec) -> String {
        Settings::of(spec).unwrap_err().to_string()
    }

    #[test]
    fn roles_are_required_and_have_their_form() {
        assert!(
            problem(&spec(AwsCluster::default())).contains("overrides.aws.role_arn is missing")
        );
        let wrong = AwsCluster { role_arn: Some("eks".into()), ..AwsCluster::default() };
        assert!(problem(&spec(wrong)).contains("arn:aws:iam::ACCOUNT:role/NAME"));
        let mut with_nodes = spec(settings());
        let size = InstanceSize::Exact("t3.medium".into());
        with_nodes.node_pools = vec![NodePoolSpec { name: "a".into(), size, count: 1 }];
        assert!(problem(&with_nodes).contains("overrides.aws.node_role_arn is missing"));
        assert!(Settings::of(&spec(settings())).unwrap().node_role_arn.is_empty());
    }

    #[test]
    fn the_api_server_is_open_to_nobody_unless_that_is_said_and_to_everybody_only_by_name() {
        assert!(Settings::of(&spec(settings())).unwrap().public_access_cidrs.is_empty());
        for everyone in ["0.0.0.0/0", "::/0"] {
            let mut given = settings();
            given.public_access_cidrs =
                vec!["10.0.0.0/8".parse().unwrap(), everyone.parse().unwrap()];
            assert!(problem(&spec(given.clone())).contains("public_access_for_everyone"));
            given.public_access_for_everyone = true;
            assert_eq!(
                Settings::of(&spec(given)).unwrap().public_access_cidrs,
                ["10.0.0.0/8", everyone]
            );
        }
        let open = AwsCluster { public_access_for_everyone: true, ..settings() };
        assert_eq!(Settings::of(&spec(open)).unwrap().public_access_cidrs, ["0.0.0.0/0"]);
    }

    #[test]
    fn what_eks_does_not_know_is_refused_by_its_field() {
        let logs = AwsCluster { log_types: vec!["audits".into()], ..settings() };
        assert!(problem(&spec(logs)).contains("log_types has 'audits'"));
        let mut twice = spec(AwsCluster { version: Some("1.99".into()), ..settings() });
        assert_eq!(Settings::of(&twice).unwrap().version.as_deref(), Some("1.99"));
        twice.version = Some("1.34".into());
        assert!(problem(&twice).contains("one of the two"));
        let typo: cloud_core::Overrides =
            serde_json::from_str(r#"{"aws": {"role": "x"}}"#).unwrap();
        assert!(typo.get::<AwsCluster>().is_err());
    }
}
