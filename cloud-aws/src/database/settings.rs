//! What only RDS has in a request for a server, and the choices that follow from engine and settings.

use cloud_core::{
    ByteSize, DatabaseSpec, Encryption, Engine, Error, Provider, ProviderOverrides, Result,
};
use serde::{Deserialize, Serialize};

/// Who keeps the owner's password. Either way [`Database::connection`](cloud_core::Database::connection) reads it.
///
/// ```
/// use cloud_aws::PasswordStore;
/// assert_eq!(serde_json::to_string(&PasswordStore::Managed).unwrap(), r#""managed""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordStore {
    /// RDS makes it, keeps it in Secrets Manager and changes it every seven days
    /// ([documentation](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html)). PostgreSQL and MySQL
    /// servers of this kind cannot have read replicas.
    Managed,
    /// This adapter makes it and keeps it in a secret of its own, which bears the tags of the server and is deleted with it
    /// (recoverable for seven days).
    Secret,
}

/// The bounds between which an Aurora server scales by itself, in capacity units of about 2 GiB of memory each
/// ([documentation](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ServerlessV2ScalingConfiguration.html)).
///
/// ```
/// use cloud_aws::AuroraCapacity;
/// let capacity: AuroraCapacity = serde_json::from_str(r#"{"min": 0.5, "max": 4.0}"#).unwrap();
/// assert!(capacity.min < capacity.max);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuroraCapacity {
    /// The least, 0 to 256 in steps of 0.5; 0 lets it pause.
    pub min: f64,
    /// The most, 1 to 256 in steps of 0.5.
    pub max: f64,
}

/// Settings that only RDS has, as `overrides.aws` of a [`DatabaseSpec`]. What is not set is left to RDS, unless said otherwise
/// ([CreateDBInstance](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html),
/// [CreateDBCluster](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html)).
///
/// ```
/// use cloud_aws::AwsDatabaseServer;
/// use cloud_core::{DatabaseSpec, Engine, Region};
///
/// let mut spec = DatabaseSpec::new("orders", Region::new("eu-central-1").unwrap(), Engine::Postgres);
/// spec.overrides.set(&AwsDatabaseServer { aurora: true, readers: 1, ..AwsDatabaseServer::default() }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsDatabaseServer {
    /// An Aurora cluster with one writer, called `<name>-1`, in place of a single server. Its storage grows by itself. Default: no.
    pub aurora: bool,
    /// Aurora: how many servers besides the writer can be read, `<name>-2` and on. 0 to 15. Default 0.
    pub readers: u32,
    /// Aurora: scale between these bounds instead of having an instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<AuroraCapacity>,
    /// Aurora: SQL over HTTPS as well, for `AwsDatabase::data_api`. Default: no.
    pub data_api: bool,
    /// SQL Server: its edition, `sqlserver-ex`, `sqlserver-web`, `sqlserver-se` or `sqlserver-ee`. Default `sqlserver-ex`, the one that RDS
    /// [cannot encrypt](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.html).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// Who keeps the password. Default: RDS for Aurora and SQL Server; a secret of this adapter's own for PostgreSQL and MySQL,
    /// which else could not have read replicas, and for a password that the spec gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordStore>,
    /// Logins by tokens of IAM as well. [`Database::connection`](cloud_core::Database::connection) then hands out a token that is
    /// good for 15 minutes in place of the password. Default: no.
    pub iam_auth: bool,
    /// The KMS key that encrypts the data. Default: RDS's own key of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// The KMS key that encrypts the secret. Default: Secrets Manager's own key of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_kms_key: Option<String>,
    /// A DB subnet group, instead of one that is made of the network's subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// Security groups. Default: that of the network.
    pub security_groups: Vec<String>,
    /// A stand-by in another zone; not with Aurora, where a reader is one. Default: no.
    pub multi_az: bool,
    /// How many days backups are kept, 0 to 35. Without any there is no restoring to a point in time. Default 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_days: Option<u32>,
    /// Let storage grow up to this many GiB. Default: it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_storage_gib: Option<u32>,
    /// A parameter group; of the cluster for Aurora.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// TCP port. Default: the engine's usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl ProviderOverrides for AwsDatabaseServer {
    const PROVIDER: Provider = Provider::Aws;
}

/// The fewest GiB of a gp3 volume, and the most.
const STORAGE_GIB: (u64, u64) = (20, 65_536);

impl AwsDatabaseServer {
    /// The settings of a spec, checked against it.
    pub(super) fn of(spec: &DatabaseSpec) -> Result<Self> {
        let settings = spec.overrides.get::<Self>()?.unwrap_or_default();
        settings.check(spec)?;
        Ok(settings)
    }

    fn check(&self, spec: &DatabaseSpec) -> Result<()> {
        let field = |name: &str| format!("overrides.aws.{name}");
        if self.aurora && !matches!(spec.engine, Engine::Postgres | Engine::Mysql) {
            return Err(Error::unsupported(format_args!("Aurora with the engine {}", spec.engine)));
        }
        let only_aurora = [
            ("readers", self.readers > 0),
            ("capacity", self.capacity.is_some()),
            ("data_api", self.data_api),
        ];
        if let Some((name, _)) = only_aurora.iter().find(|(_, set)| *set && !self.aurora) {
            return Err(Error::invalid(&field(name), "is set without Aurora", "aurora = true"));
        }
        if self.aurora && self.multi_az {
            return Err(Error::invalid(&field("multi_az"), "is set with Aurora", "readers"));
        }
        if self.readers > 15 {
            let problem = format!("is {}", self.readers);
            return Err(Error::invalid(&field("readers"), problem, "0 to 15"));
        }
        if let Some(AuroraCapacity { min, max }) = self.capacity {
            let good = |units: f64| (0.0..=256.0).contains(&units) && (units * 2.0).fract() == 0.0;
            if !good(min) || !good(max) || max < 1.0 || min > max {
                let problem = format!("is {min} to {max}");
                let accepted =
                    "0 to 256 in steps of 0.5, the most at least 1 and no less than the least";
                return Err(Error::invalid(&field("capacity"), problem, accepted));
            }
            if let Some(kind) = &spec.instance_type {
                let problem = format!("is '{kind}' beside a capacity");
                return Err(Error::invalid("instance_type", problem, "one of the two"));
            }
        }
        if let Some(edition) = &self.edition {
            let known = ["sqlserver-ex", "sqlserver-web", "sqlserver-se", "sqlserver-ee"];
            if spec.engine != Engine::SqlServer || !known.contains(&&**edition) {
                let problem = format!("is '{edition}' for the engine {}", spec.engine);
                return Err(Error::invalid(&field("edition"), problem, known.join(", ")));
            }
        }
        if let Some(days) = self.backup_days
            && (days > 35 || (days == 0 && self.aurora))
        {
            let problem = format!("is {days}");
            return Err(Error::invalid(
                &field("backup_days"),
                problem,
                "0 to 35; 1 or more for Aurora",
            ));
        }
        if self.password == Some(PasswordStore::Managed) && spec.password.is_some() {
            let problem = "is managed beside a password of the spec";
            return Err(Error::invalid(&field("password"), problem, "secret, or no password"));
        }
        if let Some(kind) = &spec.instance_type {
            let good = kind.starts_with("db.")
                && kind.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-'));
            if !good {
                let problem = format!("is '{kind}'");
                return Err(Error::invalid(
                    "instance_type",
                    problem,
                    "a class such as db.t4g.micro",
                ));
            }
        }
        storage_gib(spec.storage).map(drop)
    }

    /// RDS's name of the engine.
    pub(super) fn engine(&self, engine: Engine) -> Result<&str> {
        Ok(match (engine, self.aurora) {
            (Engine::Postgres, false) => "postgres",
            (Engine::Postgres, true) => "aurora-postgresql",
            (Engine::Mysql, false) => "mysql",
            (Engine::Mysql, true) => "aurora-mysql",
            (Engine::SqlServer, _) => self.edition.as_deref().unwrap_or("sqlserver-ex"),
            (other, _) => return Err(Error::unsupported(format_args!("the engine {other}"))),
        })
    }

    /// The type asked for, or the smallest that the engine runs on.
    pub(super) fn instance_class<'a>(&'a self, spec: &'a DatabaseSpec) -> &'a str {
        if self.capacity.is_some() {
            return "db.serverless";
        }
        let smallest = match (spec.engine, self.edition.as_deref()) {
            _ if self.aurora => "db.t4g.medium",
            (Engine::SqlServer, Some("sqlserver-se" | "sqlserver-ee")) => "db.t3.xlarge",
            (Engine::SqlServer, Some("sqlserver-web")) => "db.t3.small",
            (Engine::SqlServer, _) => "db.t3.micro",
            _ => "db.t4g.micro",
        };
        spec.instance_type.as_deref().unwrap_or(smallest)
    }

    /// Whether RDS can encrypt such a server.
    pub(super) fn can_encrypt(&self, engine: Engine) -> bool {
        engine != Engine::SqlServer || self.edition.as_deref().is_some_and(|e| e != "sqlserver-ex")
    }

    /// Whether the data is to be encrypted: always where RDS can, unless the spec says otherwise by name.
    pub(super) fn encrypted(&self, spec: &DatabaseSpec) -> bool {
        self.can_encrypt(spec.engine) && spec.encryption != Encryption::Disabled
    }

    /// Who keeps the password of such a server.
    pub(super) fn password_store(&self, spec: &DatabaseSpec) -> PasswordStore {
        let usual = match spec.engine {
            Engine::SqlServer => PasswordStore::Managed,
            _ if self.aurora => PasswordStore::Managed,
            _ => PasswordStore::Secret,
        };
        match spec.password {
            Some(_) => PasswordStore::Secret,
            None => self.password.unwrap_or(usual),
        }
    }

    pub(super) fn backup_days(&self) -> i32 {
        // Checked to be at most 35.
        self.backup_days.and_then(|days| i32::try_from(days).ok()).unwrap_or(7)
    }
}

/// Whole GiB, no fewer than the volume's least.
pub(super) fn storage_gib(size: ByteSize) -> Result<i32> {
    let (least, most) = STORAGE_GIB;
    let gib = size.bytes().div_ceil(1 << 30).max(least);
    match i32::try_from(gib) {
        Ok(number) if gib <= most => Ok(number),
        _ => Err(Error::invalid("storage", format_args!("is {size}"), "up to 64TiB")),
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::{ErrorKind, Region, SecretRef};

    use super::*;

    fn spec(engine: Engine, settings: &str) -> DatabaseSpec {
        let mut spec = DatabaseSpec::new("a", Region::new("eu-1").unwrap(), engine);
        let overrides = format!(r#"{{"aws": {settings}}}"#);
        spec.overrides = serde_json::from_str(&overrides).unwrap();
        spec
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_by_their_name() {
        for (engine, settings, says) in [
            (Engine::Postgres, r#"{"readers": 1}"#, "overrides.aws.readers is set without Aurora"),
            (Engine::Postgres, r#"{"data_api": true}"#, "data_api"),
            (Engine::Postgres, r#"{"aurora": true, "readers": 16}"#, "readers is 16"),
            (Engine::Postgres, r#"{"aurora": true, "multi_az": true}"#, "multi_az"),
            (Engine::Postgres, r#"{"edition": "sqlserver-ee"}"#, "edition"),
            (Engine::SqlServer, r#"{"edition": "sqlserver-xx"}"#, "edition is 'sqlserver-xx'"),
            (Engine::Postgres, r#"{"backup_days": 36}"#, "backup_days is 36"),
            (
                Engine::Postgres,
                r#"{"aurora": true, "capacity": {"min": 0.3, "max": 1}}"#,
                "capacity",
            ),
            (Engine::Postgres, r#"{"aurora": true, "capacity": {"min": 4, "max": 2}}"#, "capacity"),
            (Engine::Postgres, r#"{"encrypted": false}"#, "encrypted"),
        ] {
            let error = AwsDatabaseServer::of(&spec(engine, settings)).unwrap_err();
            assert!(error.to_string().contains(says), "{settings}: {error}");
        }
        let error = AwsDatabaseServer::of(&spec(Engine::SqlServer, r#"{"aurora": true}"#));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        let mut large = spec(Engine::Postgres, "{}");
        large.storage = ByteSize::gib(65_537);
        assert!(AwsDatabaseServer::of(&large).is_err());
        large.storage = ByteSize::gib(20);
        large.instance_type = Some("t4g.micro".into());
        assert!(AwsDatabaseServer::of(&large).unwrap_err().to_string().contains("db.t4g.micro"));
    }

    #[test]
    fn defaults_are_safe_and_small() {
        let plain = spec(Engine::Postgres, "{}");
        let settings = AwsDatabaseServer::of(&plain).unwrap();
        assert!(settings.encrypted(&plain));
        assert_eq!(settings.instance_class(&plain), "db.t4g.micro");
        assert_eq!(settings.password_store(&plain), PasswordStore::Secret);
        assert_eq!(settings.backup_days(), 7);
        let aurora = spec(Engine::Mysql, r#"{"aurora": true}"#);
        let settings = AwsDatabaseServer::of(&aurora).unwrap();
        assert_eq!(settings.engine(Engine::Mysql).unwrap(), "aurora-mysql");
        assert_eq!(settings.password_store(&aurora), PasswordStore::Managed);
        let given = DatabaseSpec { password: Some(SecretRef::Env("X".into())), ..aurora };
        assert_eq!(settings.password_store(&given), PasswordStore::Secret);
        let express = spec(Engine::SqlServer, "{}");
        assert!(!AwsDatabaseServer::of(&express).unwrap().encrypted(&express));
        let web = spec(Engine::SqlServer, r#"{"edition": "sqlserver-web"}"#);
        assert!(AwsDatabaseServer::of(&web).unwrap().encrypted(&web));
    }

    #[test]
    fn storage_is_whole_gib_rounded_up() {
        assert_eq!(storage_gib(ByteSize::mib(1)).unwrap(), 20);
        assert_eq!(storage_gib(ByteSize::mib(20 * 1024 + 1)).unwrap(), 21);
        assert!(storage_gib(ByteSize::from_bytes(1 << 56)).is_err());
    }
}
