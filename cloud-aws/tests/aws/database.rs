//! RDS, Aurora and their passwords against moto, and against the contract of the requests.

#[path = "database/conformance.rs"]
mod conformance;
#[cfg(feature = "data-api")]
#[path = "database/data_api.rs"]
mod data_api;
#[path = "database/relations.rs"]
mod relations;

use std::sync::Arc;

use cloud_aws::{
    AuroraCapacity, AwsCloud, AwsConfig, AwsCredentials, AwsDatabaseServer, PasswordStore,
};
use cloud_core::{
    ClientToken, CloudId, Database, DatabaseExt, DatabaseSpec, Effect, Encryption, Engine,
    ErrorKind, ListQuery, Region, ReplicaSpec, ResourceId, ResourceKind, ResourceStatus, Retry,
    SecretRef, SnapshotCopySpec, SnapshotSpec, Tags, secret::ExposeSecret,
};

use cloud_rig::{Emulator, Fault, Keys, Kind, Proxy, What, judge};

fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

async fn open(proxy: &Proxy, keys: &Keys) -> AwsCloud {
    let mut config = AwsConfig::new([region("us-east-1"), region("us-west-2")]);
    config.endpoint = Some(proxy.url().parse().unwrap());
    config.credentials = Some(AwsCredentials {
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: SecretRef::Value(keys.secret_access_key.clone().into()),
        session_token: None,
    });
    AwsCloud::open(CloudId::new("aws").unwrap(), config).await.unwrap()
}

/// A cloud on moto, and what was sent to it.
struct Rig {
    cloud: AwsCloud,
    proxy: Proxy,
    emulator: &'static Emulator,
}

async fn rig() -> Option<Rig> {
    let emulator = Emulator::shared(Kind::Moto)?;
    let proxy = emulator.proxy();
    Some(Rig { cloud: open(&proxy, emulator.keys()).await, proxy, emulator })
}

impl Rig {
    fn databases(&self) -> Arc<cloud_aws::AwsDatabase> {
        self.cloud.aws_database()
    }

    fn sent(&self, operation: &str) -> usize {
        self.proxy.count(|seen| seen.is("rds", operation))
    }

    /// The parameters of the last request for an operation.
    fn parameters(&self, operation: &str) -> std::collections::HashMap<String, String> {
        let requests = self.proxy.requests();
        let seen = requests.iter().rfind(|seen| seen.operation == operation).unwrap();
        url::form_urlencoded::parse(&seen.body).into_owned().collect()
    }
}

fn name(prefix: &str) -> String {
    format!("{prefix}{:08x}", rand::random::<u32>())
}

fn spec(name: &str, engine: Engine) -> DatabaseSpec {
    DatabaseSpec::new(name, region("us-east-1"), engine)
}

fn with(spec: &DatabaseSpec, settings: AwsDatabaseServer) -> DatabaseSpec {
    let mut spec = spec.clone();
    spec.overrides.set(&settings).unwrap();
    spec
}

fn token() -> ClientToken {
    ClientToken::random()
}

/// The secrets of ours for a server.
async fn secrets_of(
    rig: &Rig,
    server: &str,
) -> Vec<aws_sdk_secretsmanager::types::SecretListEntry> {
    use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
    let secrets = rig.cloud.secretsmanager(&region("us-east-1")).unwrap();
    let prefix = format!("multicloud/database/{server}/");
    let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
    let listed = secrets.list_secrets().include_planned_deletion(true).filters(filter);
    let mut listed = listed.send().await.unwrap().secret_list.unwrap_or_default();
    listed.retain(|secret| secret.name().unwrap().contains(server));
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_made_safe_and_small() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let made = databases.create_database(&spec(&name("safe"), Engine::Postgres), &token()).await;
    let made = made.unwrap();
    let sent = rig.parameters("CreateDBInstance");
    for (parameter, value) in [
        ("StorageEncrypted", "true"),
        ("PubliclyAccessible", "false"),
        ("StorageType", "gp3"),
        ("AllocatedStorage", "20"),
        ("DBInstanceClass", "db.t4g.micro"),
        ("BackupRetentionPeriod", "7"),
        ("CopyTagsToSnapshot", "true"),
        ("DeletionProtection", "false"),
        ("DBName", "app"),
        ("MasterUsername", "app"),
    ] {
        assert_eq!(sent.get(parameter).map(String::as_str), Some(value), "{parameter}");
    }
    assert_eq!(sent["MasterUserPassword"].len(), 30);
    let info = databases.connection(&made.id).await.unwrap();
    let password = info.password.as_ref().unwrap().expose_secret();
    assert_eq!(password, sent["MasterUserPassword"]);
    assert!(!format!("{info:?}{made:?}{databases:?}").contains(password));
    assert!(info.url.expose_secret().ends_with("/app?sslmode=require"));
    assert_eq!(info.port, Some(5432));

    let express = databases.create_database(&spec(&name("ex"), Engine::SqlServer), &token()).await;
    let sent = rig.parameters("CreateDBInstance");
    assert_eq!(sent["Engine"], "sqlserver-ex");
    assert_eq!(sent["StorageEncrypted"], "false");
    assert_eq!(sent["ManageMasterUserPassword"], "true");
    assert!(!sent.contains_key("DBName") && !sent.contains_key("MasterUserPassword"));
    let express = express.unwrap();
    let error = databases.sql(&express.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let mut open = spec(&name("open"), Engine::Mysql);
    (open.public, open.encryption) = (true, Encryption::Disabled);
    open.storage = cloud_core::ByteSize::mib(30 * 1024 + 1);
    let opened = databases.create_database(&open, &token()).await.unwrap();
    let sent = rig.parameters("CreateDBInstance");
    assert_eq!((&*sent["PubliclyAccessible"], &*sent["StorageEncrypted"]), ("true", "false"));
    assert_eq!(sent["AllocatedStorage"], "31");
    for id in [made.id, express.id, opened.id] {
        assert!(databases.delete_database(&id).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rds_refuses_is_refused_before_any_call() {
    let Some(rig) = rig().await else { return };
    let good = spec(&name("x"), Engine::Postgres);
    type Change = Box<dyn Fn(&mut DatabaseSpec)>;
    let bad: [(&str, Change); 12] = [
        ("hyphens", Box::new(|s| s.name = "a--b".into())),
        ("digit", Box::new(|s| s.name = "1a".into())),
        ("user", Box::new(|s| s.user = "rdsadmin".into())),
        ("admin", Box::new(|s| s.user = "admin".into())),
        ("database", Box::new(|s| s.database = "template0".into())),
        ("storage", Box::new(|s| s.storage = cloud_core::ByteSize::gib(70_000))),
        ("type", Box::new(|s| s.instance_type = Some("t4g.micro".into()))),
        ("tags", Box::new(|s| s.tags = Tags::new([("aws:x", "y")]).unwrap())),
        (
            "many tags",
            Box::new(|s| s.tags = Tags::new((0..50).map(|i| (format!("k{i}"), "v"))).unwrap()),
        ),
        ("region", Box::new(|s| s.region = region("eu-north-1"))),
        ("password", Box::new(|s| s.password = Some(SecretRef::Value("with/slash".into())))),
        (
            "cluster name",
            Box::new(|s| {
                s.name = "n".repeat(61);
                s.overrides
                    .set(&AwsDatabaseServer { aurora: true, ..AwsDatabaseServer::default() })
                    .unwrap();
            }),
        ),
    ];
    for (what, change) in bad {
        let mut spec = good.clone();
        change(&mut spec);
        let error = rig.databases().create_database(&spec, &token()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::InvalidInput, Effect::None),
            "{what}"
        );
        assert_eq!(error.operation(), Some("database.create_database"));
        assert!(!error.to_string().contains("with/slash"));
    }
    let mut express = spec(&name("x"), Engine::SqlServer);
    express.encryption = Encryption::Required;
    let error = rig.databases().create_database(&express, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(rig.proxy.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_where_the_settings_say() {
    let Some(rig) = rig().await else { return };
    let (databases, secrets) =
        (rig.databases(), rig.cloud.secretsmanager(&region("us-east-1")).unwrap());
    let managed = with(
        &spec(&name("managed"), Engine::Postgres),
        AwsDatabaseServer {
            password: Some(PasswordStore::Managed),
            ..AwsDatabaseServer::default()
        },
    );
    let server = databases.create_database(&managed, &token()).await.unwrap();
    assert_eq!(rig.parameters("CreateDBInstance")["ManageMasterUserPassword"], "true");
    // What moto puts into every secret of RDS.
    let info = databases.connection(&server.id).await.unwrap();
    assert_eq!(info.password.unwrap().expose_secret(), "P@55w0rd!");
    let replica = ReplicaSpec::new(name("rep"), region("us-east-1"), server.id.clone());
    let error = databases.create_replica(&replica, &token()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None));
    assert!(error.to_string().contains("password"), "{error}");
    databases.delete_database(&server.id).await.unwrap();

    let mut given = spec(&name("given"), Engine::Mysql);
    given.password = Some(SecretRef::Value("chosen-by-me-1".into()));
    given.tags = Tags::new([("team", "shop")]).unwrap();
    let server = databases.create_database(&given, &token()).await.unwrap();
    let info = databases.connection(&server.id).await.unwrap();
    assert_eq!(info.password.unwrap().expose_secret(), "chosen-by-me-1");
    let ours = secrets_of(&rig, &given.name).await;
    assert_eq!(ours.len(), 1);
    assert!(ours[0].tags().iter().any(|tag| tag.key() == Some("team")));
    assert!(ours[0].deleted_date().is_none());

    databases.delete_database(&server.id).await.unwrap();
    let secret = secrets.describe_secret().secret_id(ours[0].arn().unwrap()).send().await.unwrap();
    assert!(secret.deleted_date().is_some(), "the secret outlives its server");
    // Its name is free for another server at once.
    let again = databases.create_database(&given, &token()).await.unwrap();
    assert!(databases.connection(&again.id).await.unwrap().password.is_some());
    databases.delete_database(&again.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_leaves_no_secret_and_a_lost_answer_no_second_server() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let refused = spec(&name("refused"), Engine::Postgres);
    let quota = What::error(400, "InstanceQuotaExceeded", "too many");
    rig.proxy.inject(Fault::on("rds", "CreateDBInstance", quota));
    let first = token();
    let error = databases.create_database(&refused, &first).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::QuotaExceeded, Effect::None));
    assert_eq!(secrets_of(&rig, &refused.name).await.len(), 0);
    let made = databases.create_database(&refused, &first).await.unwrap();
    databases.delete_database(&made.id).await.unwrap();

    let lost = spec(&name("lost"), Engine::Postgres);
    rig.proxy.inject(Fault::on("rds", "CreateDBInstance", What::ForwardThenDrop));
    let token = token();
    let error = databases.create_database(&lost, &token).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    // Refused in between, without an effect: what the lost one made keeps its password.
    rig.proxy.inject(Fault::on("rds", "CreateDBInstance", What::throttled()));
    let error = databases.create_database(&lost, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Backoff));
    assert_eq!(secrets_of(&rig, &lost.name).await.len(), 1);
    // Another process, which remembers nothing.
    let other = open(&rig.proxy, rig.emulator.keys()).await;
    let made = other.aws_database().create_database(&lost, &token).await.unwrap();
    let query = ListQuery { name: Some(lost.name.clone()), ..ListQuery::default() };
    assert_eq!(databases.list_databases(&query).complete().await.unwrap().items().len(), 1);
    let passwords: Vec<_> = rig
        .proxy
        .requests()
        .iter()
        .filter(|seen| seen.operation == "CreateDBInstance")
        .filter_map(|seen| {
            let form = url::form_urlencoded::parse(&seen.body).into_owned();
            let pairs: std::collections::HashMap<_, _> = form.collect();
            (pairs["DBInstanceIdentifier"] == lost.name)
                .then(|| pairs["MasterUserPassword"].clone())
        })
        .collect();
    assert_eq!(passwords.len(), 3);
    assert!(passwords.iter().all(|password| *password == passwords[0]));
    let info = databases.connection(&made.id).await.unwrap();
    assert_eq!(info.password.unwrap().expose_secret(), passwords[0]);
    // The same token for another spec, also in another process.
    let mut other_spec = lost.clone();
    other_spec.tags = Tags::new([("a", "b")]).unwrap();
    let fresh = open(&rig.proxy, rig.emulator.keys()).await;
    let error = fresh.aws_database().create_database(&other_spec, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error}");
    databases.delete_database(&made.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_says_what_and_whether_anything_happened() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let denied = open(&rig.proxy, rig.emulator.denied().unwrap()).await;
    let wanted = spec(&name("denied"), Engine::Postgres);
    let error = denied.aws_database().create_database(&wanted, &token()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::PermissionDenied, Effect::None),
        "{error}"
    );
    for (what, kind, effect) in [
        (What::expired_token(), ErrorKind::Unauthenticated, Effect::None),
        (What::internal_error(), ErrorKind::Unavailable, Effect::Unknown),
        (What::bad_gateway(), ErrorKind::Unavailable, Effect::Unknown),
        (What::Drop, ErrorKind::Unavailable, Effect::Unknown),
        (
            What::error(400, "InsufficientDBInstanceCapacity", "none"),
            ErrorKind::CapacityUnavailable,
            Effect::None,
        ),
    ] {
        let case = format!("{what:?}, {kind}");
        rig.proxy.inject(Fault::on("rds", "CreateDBInstance", what));
        let spec = spec(&name("fault"), Engine::Postgres);
        let error = databases.create_database(&spec, &token()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{case}: {error:?}");
        assert_eq!(error.operation(), Some("database.create_database"));
    }
    rig.proxy.inject(Fault::on("rds", "DescribeDBInstances", What::internal_error()));
    let id = ResourceId::new(ResourceKind::Database, region("us-east-1"), "absent").unwrap();
    let error = databases.get_database(&id).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None));
    let error = databases.get_database(&id).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, Some("DBInstanceNotFound")));
    assert_eq!(error.resource(), Some("database/us-east-1/absent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_iam_stands_in_for_the_password() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let settings = AwsDatabaseServer { iam_auth: true, ..AwsDatabaseServer::default() };
    let wanted = with(&spec(&name("iam"), Engine::Postgres), settings);
    let made = databases.create_database(&wanted, &token()).await.unwrap();
    let info = databases.connection(&made.id).await.unwrap();
    let token_text = info.password.unwrap().expose_secret().to_owned();
    assert!(token_text.contains("Action=connect&DBUser=app"), "{token_text}");
    assert!(token_text.contains("X-Amz-Expires=900"));
    assert!(token_text.contains("%2Fus-east-1%2Frds-db%2Faws4_request"));
    let owner = databases.password_connection(&made.id).await.unwrap();
    assert_eq!(owner.password.unwrap().expose_secret().len(), 30);
    let other = databases.iam_connection(&made.id, "reporting").await.unwrap();
    assert!(other.password.unwrap().expose_secret().contains("DBUser=reporting"));
    assert!(databases.iam_connection(&made.id, "a&b").await.is_err());
    databases.delete_database(&made.id).await.unwrap();

    let plain =
        databases.create_database(&spec(&name("plain"), Engine::Postgres), &token()).await.unwrap();
    let error = databases.iam_connection(&plain.id, "app").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    databases.manage_password(&plain.id).await.unwrap();
    assert_eq!(rig.parameters("ModifyDBInstance")["ManageMasterUserPassword"], "true");
    databases.delete_database(&plain.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ready_is_a_conflict_to_connect_to() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let made =
        databases.create_database(&spec(&name("busy"), Engine::Postgres), &token()).await.unwrap();
    let rds = rig.cloud.rds(&region("us-east-1")).unwrap();
    rds.stop_db_instance().db_instance_identifier(&made.name).send().await.unwrap();
    let stopped = databases.get_database(&made.id).await.unwrap();
    assert_eq!(stopped.status, ResourceStatus::Stopped);
    let error = databases.connection(&made.id).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never), "{error}");
    databases.delete_database(&made.id).await.unwrap();
}

#[cfg(any(feature = "compute", feature = "network"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_stands_in_the_subnets_of_its_network() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let network = rig.emulator.network("us-east-1");
    let id = ResourceId::new(ResourceKind::Network, region("us-east-1"), &*network.vpc).unwrap();
    let mut wanted = spec(&name("inside"), Engine::Postgres);
    wanted.network = Some(id.clone());
    let made = databases.create_database(&wanted, &token()).await.unwrap();
    let group = format!("multicloud-{}", network.vpc);
    assert_eq!(rig.parameters("CreateDBInstance")["DBSubnetGroupName"], group);
    let sent = rig.parameters("CreateDBSubnetGroup");
    let subnets = sent.keys().filter(|key| key.starts_with("SubnetIds.")).count();
    assert_eq!(subnets, network.subnets.len());
    // RDS says that it is there; moto would make it anew.
    let there = What::error(400, "DBSubnetGroupAlreadyExists", "it is there");
    rig.proxy.inject(Fault::on("rds", "CreateDBSubnetGroup", there));
    // moto would forget a group that is modified (models.py, `modify_db_subnet_group`).
    let modified =
        "<ModifyDBSubnetGroupResponse><ModifyDBSubnetGroupResult/></ModifyDBSubnetGroupResponse>";
    let modified = What::answer(cloud_rig::Reply::new(200, "text/xml", modified));
    rig.proxy.inject(Fault::on("rds", "ModifyDBSubnetGroup", modified));
    wanted.name = name("inside");
    let second = databases.create_database(&wanted, &token()).await.unwrap();
    assert_eq!(rig.sent("ModifyDBSubnetGroup"), 1);
    wanted.network =
        Some(ResourceId::new(ResourceKind::Network, region("us-east-1"), "vpc-0").unwrap());
    let error = databases.create_database(&wanted, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    for made in [made, second] {
        databases.delete_database(&made.id).await.unwrap();
    }
    assert!(databases.delete_subnet_group(&id).await.unwrap());
    assert!(!databases.delete_subnet_group(&id).await.unwrap());
}

/// Everything above as RDS's and Secrets Manager's own models see it.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_accepts_every_request() {
    let Some(emulator) = Emulator::shared(Kind::Moto) else { return };
    let folder = tempfile::tempdir().unwrap();
    {
        let proxy = Proxy::recording("moto", emulator.server().address(), Some(folder.path()));
        let cloud = open(&proxy, emulator.keys()).await;
        let databases = cloud.aws_database();
        let full = AwsDatabaseServer {
            iam_auth: true,
            kms_key: None,
            security_groups: vec![emulator.network("us-east-1").security_group.clone()],
            multi_az: true,
            backup_days: Some(3),
            max_storage_gib: Some(100),
            port: Some(5433),
            ..AwsDatabaseServer::default()
        };
        let mut wanted = with(&spec(&name("full"), Engine::Postgres), full);
        wanted.version = Some("17.2".into());
        wanted.tags = Tags::new([("team", "shop")]).unwrap();
        let server = databases.create_database(&wanted, &token()).await.unwrap();
        let aurora = AwsDatabaseServer {
            aurora: true,
            readers: 1,
            capacity: Some(AuroraCapacity { min: 0.0, max: 2.0 }),
            data_api: true,
            password: Some(PasswordStore::Secret),
            ..AwsDatabaseServer::default()
        };
        let cluster = with(&spec(&name("full"), Engine::Mysql), aurora);
        let cluster = databases.create_database(&cluster, &token()).await.unwrap();
        let replica = ReplicaSpec::new(name("rep"), region("us-west-2"), server.id.clone());
        let replica = databases.create_replica(&replica, &token()).await.unwrap();
        databases.promote_replica(&replica.id).await.unwrap();
        for (source, engine) in [(&server.id, Engine::Postgres), (&cluster.id, Engine::Mysql)] {
            databases.connection(source).await.unwrap();
            let taken = SnapshotSpec::new(name("snap"), source.clone());
            let taken = databases.create_snapshot(&taken, &token()).await.unwrap();
            let copy = SnapshotCopySpec::new(name("copy"), region("us-west-2"), taken.id.clone());
            let copy = databases.copy_snapshot(&copy, &token()).await.unwrap();
            let restored = spec(&name("back"), engine);
            databases.restore_snapshot(&taken.id, &restored, &token()).await.unwrap();
            let latest = spec(&name("time"), engine);
            databases.restore_to_time(source, None, &latest, &token()).await.unwrap();
            let now = spec(&name("at"), engine);
            let at = jiff::Timestamp::now();
            databases.restore_to_time(source, Some(at), &now, &token()).await.unwrap();
            databases.delete_snapshot(&copy.id).await.unwrap();
            databases.delete_snapshot(&taken.id).await.unwrap();
            databases.manage_password(source).await.unwrap();
        }
        databases.list_databases(&ListQuery::default()).complete().await.unwrap();
        databases.list_snapshots(&ListQuery::default()).complete().await.unwrap();
        databases.delete_database(&cluster.id).await.unwrap();
    }
    let Some(verdict) = judge(folder.path(), None) else { return };
    println!("{:?}", verdict.operations.keys().collect::<Vec<_>>());
    verdict.assert_clean();
}
