//! The SDK's own clients: one for each service and region, made when first needed.

use cloud_core::{Region, Result};

use crate::{account::Account, provider::AwsCloud};

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $sdk:ident as $service:literal, $features:meta, $home:expr;)*) => {
        /// The clients of all services that are switched on.
        #[derive(Debug)]
        pub(crate) struct SdkClients {
            $(#[cfg($features)] $name: crate::account::Clients<$sdk::Client>,)*
        }

        impl SdkClients {
            pub(crate) fn new() -> Self {
                Self {
                    $(#[cfg($features)]
                    $name: crate::account::Clients::new(|account, region| {
                        make::$name(&account.sdk($service, region), account)
                    }),)*
                }
            }
        }

        impl Account {
            $(#[cfg($features)]
            pub(crate) fn $name(&self, region: &Region) -> Result<$sdk::Client> {
                match home($home) {
                    Some(home) => Ok(self.clients.$name.any(self, &home?)),
                    None => self.clients.$name.get(self, region),
                }
            })*
        }

        /// The SDK's own clients, with this cloud's credentials, endpoints and user agent, for what the portable traits do not have.
        ///
        /// Their calls pass by the interceptors. A service that has only one place ignores the region.
        impl AwsCloud {
            $($(#[$doc])*
            ///
            /// # Errors
            /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a region that this cloud is not set up for.
            #[cfg($features)]
            pub fn $name(&self, region: &Region) -> Result<$sdk::Client> {
                self.account().$name(region)
            })*
        }

        /// How a client is made; most as the SDK does it.
        mod make {
            use crate::account::Account;
            $(clients!(@make $name, $sdk, $features);)*
        }
    };
    (@make s3, $sdk:ident, $features:meta) => {
        #[cfg($features)]
        pub(super) fn s3(sdk: &aws_config::SdkConfig, account: &Account) -> $sdk::Client {
            // An emulator has no host name for each bucket.
            let path_style = account.endpoint("s3").is_some();
            let config = $sdk::config::Builder::from(sdk).force_path_style(path_style).build();
            $sdk::Client::from_conf(config)
        }
    };
    (@make $name:ident, $sdk:ident, $features:meta) => {
        #[cfg($features)]
        pub(super) fn $name(sdk: &aws_config::SdkConfig, _: &Account) -> $sdk::Client {
            $sdk::Client::new(sdk)
        }
    };
}

/// The region in which a service has its one place; `None` for one that every region has.
fn home(region: &str) -> Option<Result<Region>> {
    (!region.is_empty()).then(|| Region::new(region))
}

clients! {
    /// EC2: instances and networks.
    ec2: aws_sdk_ec2 as "ec2", any(feature = "compute", feature = "network"), "";
    /// Systems Manager, of which the parameters that name images are read.
    ssm: aws_sdk_ssm as "ssm", feature = "compute", "";
    /// S3.
    s3: aws_sdk_s3 as "s3", feature = "storage", "";
    /// RDS.
    rds: aws_sdk_rds as "rds", feature = "database", "";
    /// Secrets Manager, which keeps the passwords of databases.
    secretsmanager: aws_sdk_secretsmanager as "secretsmanager", feature = "database", "";
    /// The RDS Data API.
    rdsdata: aws_sdk_rdsdata as "rdsdata", feature = "data-api", "";
    /// Elastic Load Balancing, version 2.
    elbv2: aws_sdk_elasticloadbalancingv2 as "elasticloadbalancing", feature = "network", "";
    /// Global Accelerator, which is reached in `us-west-2` only.
    globalaccelerator: aws_sdk_globalaccelerator as "globalaccelerator", feature = "network", "us-west-2";
    /// Direct Connect.
    directconnect: aws_sdk_directconnect as "directconnect", feature = "network", "";
    /// EKS.
    eks: aws_sdk_eks as "eks", feature = "kubernetes", "";
    /// Lambda.
    lambda: aws_sdk_lambda as "lambda", feature = "functions", "";
    /// CloudWatch.
    cloudwatch: aws_sdk_cloudwatch as "monitoring", feature = "metrics", "";
    /// Route 53, which has one place.
    route53: aws_sdk_route53 as "route53", feature = "dns", "us-east-1";
    /// Cost Explorer, which has one place.
    costexplorer: aws_sdk_costexplorer as "ce", feature = "billing", "us-east-1";
    /// The Price List, which is reached in `us-east-1`.
    pricing: aws_sdk_pricing as "api.pricing", feature = "billing", "us-east-1";
    /// Budgets, which has one place.
    budgets: aws_sdk_budgets as "budgets", feature = "billing", "us-east-1";
    /// Security Token Service, which says what account the credentials are of.
    sts: aws_sdk_sts as "sts", feature = "billing", "us-east-1";
    /// Resource Groups Tagging.
    resourcegroupstagging: aws_sdk_resourcegroupstagging as "tagging", feature = "tagging", "";
    /// Service Quotas.
    servicequotas: aws_sdk_servicequotas as "servicequotas", feature = "quotas", "";
}
