//! Who offers a cloud ([`Provider`]) and under which name it is registered ([`CloudId`]).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    text::{check_identifier, text_type},
};

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

impl Provider {
    /// Every provider, in the order in which they are documented.
    pub const ALL: [Self; 7] = [
        Self::Aws,
        Self::Azure,
        Self::Gcp,
        Self::Alibaba,
        Self::Oracle,
        Self::Local,
        Self::Other,
    ];

    /// The name used in configuration files and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::Alibaba => "alibaba",
            Self::Oracle => "oracle",
            Self::Local => "local",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                Error::invalid("provider", format_args!("is '{text}'"), names)
            })
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
