//! The `spec` of a component as the typed spec of its kind, and what is made inside it.

use std::{borrow::Cow, path::PathBuf};

use cloud_core::{
    BucketSpec, Capabilities, ClusterSpec, DatabaseSpec, Error, ErrorKind, FunctionSpec,
    InstanceSpec, NetworkSpec, ResourceKind, Result, TableSpec,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Component,
    reference::{self, Reference},
};

/// An object that is put into a bucket as soon as that is there.
///
/// ```
/// use cloud_patterns::workload::ObjectSpec;
/// let object: ObjectSpec = serde_json::from_str(r#"{"key": "index.html", "text": "<h1>Shop</h1>"}"#).unwrap();
/// assert!(object.file.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSpec {
    /// Its key.
    pub key: String,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A file of this machine with what it holds, instead of `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Whether it replaces an object with other contents. Default: no.
    #[serde(default)]
    pub overwrite: bool,
}

/// What is wrong, and where: a path such as `spec.size`.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) error: Error,
}

/// A component's spec, its references filled with stand-ins.
#[derive(Clone, Debug)]
pub(crate) enum Typed {
    Instance(InstanceSpec),
    Bucket(BucketSpec),
    Database(DatabaseSpec),
    Network(NetworkSpec),
    Cluster(ClusterSpec),
    Function(FunctionSpec),
}

/// What is made inside a resource: fields of the workload's spec that are none of the cloud's.
fn inner_field(kind: ResourceKind) -> Option<&'static str> {
    match kind {
        ResourceKind::Bucket => Some("objects"),
        ResourceKind::Database => Some("tables"),
        _ => None,
    }
}

/// The names of the fields that the planner sets.
const RESERVED: [&str; 3] = ["name", "region", "tags"];

impl Component {
    /// The fields of the cloud's own spec.
    pub(crate) fn own_spec(&self) -> impl Iterator<Item = (&String, &Value)> {
        let inner = inner_field(self.kind());
        self.spec.iter().filter(move |(name, _)| Some(name.as_str()) != inner)
    }

    /// The tables that are made in it.
    pub(crate) fn tables(&self) -> Result<Vec<TableSpec>, Fault> {
        self.inner(ResourceKind::Database)
    }

    /// The objects that are put into it.
    pub(crate) fn objects(&self) -> Result<Vec<ObjectSpec>, Fault> {
        self.inner(ResourceKind::Bucket)
    }

    fn inner<T: DeserializeOwned>(&self, kind: ResourceKind) -> Result<Vec<T>, Fault> {
        let field = inner_field(kind).unwrap_or_default();
        match self.spec.get(field) {
            Some(value) if self.kind() == kind => read(value.clone(), &format!("spec.{field}")),
            _ => Ok(Vec::new()),
        }
    }

    /// How many resources are made inside each of its replicas, of whatever type.
    pub(crate) fn inner_count(&self) -> usize {
        let field = inner_field(self.kind()).and_then(|field| self.spec.get(field));
        field.and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Its typed spec under this name, in a region of no cloud.
    pub(crate) fn typed(&self, name: &str) -> Result<Typed, Fault> {
        for reserved in RESERVED {
            if self.spec.contains_key(reserved) {
                let path = format!("spec.{reserved}");
                let accepted = "nothing: the planner sets it";
                let error = Error::invalid(&path, "is set", accepted);
                return Err(Fault { path, error });
            }
        }
        let mut fields = Map::new();
        for (field, value) in self.own_spec() {
            let mut path = format!("spec.{field}");
            let filled = reference::map_value(value, &mut path, &mut |_, r| Ok(stand_in(r).into()));
            match filled {
                Ok(filled) => fields.insert(field.clone(), filled),
                Err(error) => return Err(Fault { path, error }),
            };
        }
        fields.insert("name".into(), name.into());
        fields.insert("region".into(), "region".into());
        let value = Value::Object(fields);
        Ok(match self.kind() {
            ResourceKind::Bucket => Typed::Bucket(read(value, "spec")?),
            ResourceKind::Database => Typed::Database(read(value, "spec")?),
            ResourceKind::Network => Typed::Network(read(value, "spec")?),
            ResourceKind::Cluster => Typed::Cluster(read(value, "spec")?),
            ResourceKind::Function => Typed::Function(read(value, "spec")?),
            _ => Typed::Instance(read(value, "spec")?),
        })
    }
}

/// What stands for a reference until it is known; of an id, of the kind that specs can refer to.
fn stand_in(reference: Reference<'_>) -> Cow<'static, str> {
    match reference.output {
        "id" => "network/region/id".into(),
        output if output == "port" || output.starts_with("port_") => "1".into(),
        _ => "x".into(),
    }
}

fn read<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = match e.path().to_string() {
            path if path == "." => at.to_owned(),
            path if path.starts_with('[') => format!("{at}{path}"),
            path => format!("{at}.{path}"),
        };
        let error = Error::new(ErrorKind::InvalidInput, format!("{path}: {}", e.inner()));
        Fault { path, error }
    })
}

impl Typed {
    /// Refuses what no cloud accepts.
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Instance(s) => s.validate(),
            Self::Bucket(s) => s.validate(),
            Self::Database(s) => s.validate(),
            Self::Network(s) => s.validate(),
            Self::Cluster(s) => s.validate(),
            Self::Function(s) => s.validate(),
        }
    }

    /// Gives it another name.
    pub(crate) fn rename(&mut self, name: &str) {
        let own = match self {
            Self::Instance(s) => &mut s.name,
            Self::Bucket(s) => &mut s.name,
            Self::Database(s) => &mut s.name,
            Self::Network(s) => &mut s.name,
            Self::Cluster(s) => &mut s.name,
            Self::Function(s) => &mut s.name,
        };
        name.clone_into(own);
    }

    /// Refuses what a cloud of these capabilities does not accept.
    pub(crate) fn check(&self, can: &Capabilities) -> Result<()> {
        fn offered<'a, T>(can: &'a Option<T>, what: &str) -> Result<&'a T> {
            can.as_ref().ok_or_else(|| Error::unsupported(what))
        }
        match self {
            Self::Instance(s) => s.check(offered(&can.compute, "compute")?),
            Self::Bucket(s) => s.check(offered(&can.storage, "storage")?),
            Self::Database(s) => s.check(offered(&can.database, "databases")?),
            Self::Network(s) => s.check(offered(&can.network, "networks")?),
            Self::Cluster(s) => s.check(offered(&can.kubernetes, "kubernetes clusters")?),
            Self::Function(s) => s.check(offered(&can.functions, "functions")?),
        }
    }
}
