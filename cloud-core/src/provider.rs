//! Who offers a cloud ([`Provider`]) and under which name it is registered ([`CloudId`]).

use serde::{Deserialize, Serialize};

use crate::text::{check_identifier, names, text_type};

/// A provider of cloud services. Two accounts at one provider are two clouds; see [`CloudId`].
///
/// ```
/// use cloud_core::Provider;
/// assert_eq!("aws".parse::<Provider>().unwrap(), Provider::Aws);
/// assert!("aws2".parse::<Provider>().unwrap_err().to_string().contains("accepted: aws, azure"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Gcp,
    /// Alibaba Cloud.
    Alibaba,
    /// Oracle Cloud Infrastructure.
    Oracle,
    /// This machine: processes, directories, local databases.
    Local,
    /// Any other: a simulation, a mock, an adapter from elsewhere.
    Other,
}

names! {
    /// Every provider, in the order in which they are documented.
    Provider as "provider" {
        Aws => "aws",
        Azure => "azure",
        Gcp => "gcp",
        Alibaba => "alibaba",
        Oracle => "oracle",
        Local => "local",
        Other => "other",
    }
}

text_type! {
    /// The name under which a cloud is registered: two accounts of one provider are two clouds.
    ///
    /// 1 to 63 ASCII letters, digits, `-` and `_`, a letter or digit first.
    ///
    /// ```
    /// use cloud_core::CloudId;
    /// let id = CloudId::new("aws-prod").unwrap();
    /// assert_eq!(id.as_str(), "aws-prod");
    /// assert!(CloudId::new("../aws").is_err());
    /// ```
    CloudId, |text| check_identifier("cloud id", text, 63, &['-', '_'])
}
