//! Replicas, clusters and snapshots on moto.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn protection_and_replicas_keep_a_server_from_being_deleted() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let mut protected = spec(&name("kept"), Engine::Postgres);
    protected.delete_protection = true;
    for settings in [
        AwsDatabaseServer::default(),
        AwsDatabaseServer { aurora: true, ..AwsDatabaseServer::default() },
    ] {
        let made = databases.create_database(&with(&protected, settings), &token()).await.unwrap();
        let error = databases.delete_database(&made.id).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None), "{error}");
        databases.get_database(&made.id).await.unwrap();
    }
    assert_eq!((rig.sent("DeleteDBInstance"), rig.sent("DeleteDBCluster")), (0, 0));

    let primary =
        databases.create_database(&spec(&name("pri"), Engine::Mysql), &token()).await.unwrap();
    for (at, what) in [("us-east-1", "near"), ("us-west-2", "far")] {
        let mut wanted = ReplicaSpec::new(name(what), region(at), primary.id.clone());
        wanted.tags = Tags::new([("team", "shop")]).unwrap();
        let token = token();
        let replica = databases.create_replica(&wanted, &token).await.unwrap();
        assert_eq!(replica.replica_of.as_ref(), Some(&primary.id));
        assert_eq!((&replica.id.region, &replica.tags), (&region(at), &wanted.tags));
        let again = databases.create_replica(&wanted, &token).await.unwrap();
        assert_eq!(again.id, replica.id);
        let sent = rig.parameters("CreateDBInstanceReadReplica");
        if at == "us-west-2" {
            assert!(sent["SourceDBInstanceIdentifier"].starts_with("arn:aws:rds:us-east-1:"));
            assert_eq!(sent["KmsKeyId"], "alias/aws/rds");
            assert!(sent["PreSignedUrl"].starts_with(
                "https://rds.us-east-1.amazonaws.com/?Action=CreateDBInstanceReadReplica&"
            ));
        } else {
            assert_eq!(sent["SourceDBInstanceIdentifier"], primary.name);
            assert!(!sent.contains_key("PreSignedUrl"));
        }
        let (old, new) = (
            databases.connection(&primary.id).await.unwrap(),
            databases.connection(&replica.id).await.unwrap(),
        );
        assert_eq!(
            old.password.unwrap().expose_secret(),
            new.password.unwrap().expose_secret(),
            "a replica has its primary's password"
        );
        let promoted = databases.promote_replica(&replica.id).await.unwrap();
        assert_eq!(promoted.id, replica.id);
    }
    assert_eq!(rig.sent("PromoteReadReplica"), 2);
    let error = databases.delete_database(&primary.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("near"), "{error}");
    // A primary is left as it is.
    let same = databases.promote_replica(&primary.id).await.unwrap();
    assert_eq!((same.id, rig.sent("PromoteReadReplica")), (primary.id, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_its_servers_are_one() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let wanted = with(
        &spec(&name("aurora"), Engine::Postgres),
        AwsDatabaseServer {
            aurora: true,
            readers: 2,
            capacity: Some(AuroraCapacity { min: 0.5, max: 4.0 }),
            data_api: true,
            // moto cannot restore a cluster whose password it manages (models.py, `DBCluster.get_cfg`).
            password: Some(PasswordStore::Secret),
            ..AwsDatabaseServer::default()
        },
    );
    let token = token();
    // The second server is refused: nothing stays.
    rig.proxy.inject(Fault::when(
        |seen| {
            seen.is("rds", "CreateDBInstance")
                && String::from_utf8_lossy(&seen.body).contains("-2&")
        },
        What::error(400, "InstanceQuotaExceeded", "too many"),
    ));
    let error = databases.create_database(&wanted, &token).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::QuotaExceeded, Effect::None));
    assert_eq!(rig.proxy.faults_left(), 0);
    let query = ListQuery { name: Some(wanted.name.clone()), ..ListQuery::default() };
    assert!(databases.list_databases(&query).complete().await.unwrap().items().is_empty());
    // The answer for the second is lost: the repeated create makes what is missing.
    rig.proxy.inject(Fault::when(
        |seen| {
            seen.is("rds", "CreateDBInstance")
                && String::from_utf8_lossy(&seen.body).contains("-2&")
        },
        What::ForwardThenDrop,
    ));
    let error = databases.create_database(&wanted, &token).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    // As RDS answers; moto would make a second cluster of the name.
    rig.proxy.inject(Fault::on(
        "rds",
        "CreateDBCluster",
        What::error(400, "DBClusterAlreadyExistsFault", "it is there"),
    ));
    let made = databases.create_database(&wanted, &token).await.unwrap();
    assert_eq!(made.id.native(), format!("cluster:{}", wanted.name));
    let sent = rig.parameters("CreateDBCluster");
    assert_eq!(sent["ServerlessV2ScalingConfiguration.MinCapacity"], "0.5");
    assert_eq!((&*sent["EnableHttpEndpoint"], &*sent["StorageEncrypted"]), ("true", "true"));
    assert_eq!(rig.parameters("CreateDBInstance")["DBInstanceClass"], "db.serverless");
    let found = databases.list_databases(&query).complete().await.unwrap().into_items();
    assert_eq!(found.len(), 1, "its servers are not listed beside it: {found:?}");
    let rds = rig.cloud.rds(&region("us-east-1")).unwrap();
    let cluster = rds.describe_db_clusters().db_cluster_identifier(&wanted.name).send().await;
    let cluster = cluster.unwrap();
    assert_eq!(cluster.db_clusters()[0].db_cluster_members().len(), 3);
    let part =
        ResourceId::new(ResourceKind::Database, region("us-east-1"), format!("{}-1", wanted.name))
            .unwrap();
    assert_eq!(databases.get_database(&part).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!databases.delete_database(&part).await.unwrap());

    let info = databases.connection(&made.id).await.unwrap();
    assert!(info.host.contains("cluster-") && info.port == Some(5432));
    let taken = SnapshotSpec::new(name("snap"), made.id.clone());
    let taken = databases.create_snapshot(&taken, &ClientToken::random()).await.unwrap();
    assert!(taken.id.native().starts_with("cluster:"));
    assert_eq!(taken.source, made.id);
    let mut restored = spec(&name("restored"), Engine::Mysql);
    let error =
        databases.restore_snapshot(&taken.id, &restored, &ClientToken::random()).await.unwrap_err();
    assert!(error.to_string().contains("engine"), "{error}");
    restored.engine = Engine::Postgres;
    let restored =
        databases.restore_snapshot(&taken.id, &restored, &ClientToken::random()).await.unwrap();
    assert!(restored.id.native().starts_with("cluster:"));
    let latest = spec(&name("latest"), Engine::Postgres);
    let latest =
        databases.restore_to_time(&made.id, None, &latest, &ClientToken::random()).await.unwrap();
    for id in [&made.id, &restored.id, &latest.id] {
        assert!(databases.delete_database(id).await.unwrap());
        assert!(!databases.delete_database(id).await.unwrap());
    }
    assert!(databases.delete_snapshot(&taken.id).await.unwrap());
    let left = rds.describe_db_instances().send().await.unwrap();
    assert!(
        left.db_instances()
            .iter()
            .all(|server| { !server.db_instance_identifier().unwrap().starts_with(&wanted.name) })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_copied_and_restored() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let source =
        databases.create_database(&spec(&name("src"), Engine::Postgres), &token()).await.unwrap();
    let mut wanted = SnapshotSpec::new(name("snap"), source.id.clone());
    wanted.tags = Tags::new([("team", "shop")]).unwrap();
    let taken = databases.create_snapshot(&wanted, &token()).await.unwrap();
    assert_eq!((&taken.source, &taken.tags), (&source.id, &wanted.tags));
    assert_eq!(taken.size, Some(cloud_core::ByteSize::gib(20)));
    assert!(taken.status.is_ready());

    let mut copy = SnapshotCopySpec::new(name("copy"), region("us-west-2"), taken.id.clone());
    copy.tags = Tags::new([("copy", "yes")]).unwrap();
    let copy_token = token();
    let copied = databases.copy_snapshot(&copy, &copy_token).await.unwrap();
    let sent = rig.parameters("CopyDBSnapshot");
    assert!(sent["SourceDBSnapshotIdentifier"].starts_with("arn:aws:rds:us-east-1:"));
    assert!(sent["PreSignedUrl"].contains("Action=CopyDBSnapshot&"));
    assert!(sent["PreSignedUrl"].contains("&DestinationRegion=us-west-2&"));
    assert_eq!(sent["KmsKeyId"], "alias/aws/rds");
    assert_eq!((&copied.id.region, &copied.tags), (&region("us-west-2"), &copy.tags));
    let fresh = open(&rig.proxy, rig.emulator.keys()).await;
    let again = fresh.aws_database().copy_snapshot(&copy, &copy_token).await.unwrap();
    assert_eq!(again.id, copied.id);
    let error = databases.copy_snapshot(&copy, &token()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::None));

    databases.delete_database(&source.id).await.unwrap();
    let mut target = spec(&name("back"), Engine::Mysql);
    let error = databases.restore_snapshot(&taken.id, &target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    target.engine = Engine::Postgres;
    let error = databases.restore_snapshot(&copied.id, &target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let mut secret = target.clone();
    secret.password = Some(SecretRef::Value("chosen-by-me-1".into()));
    let error = databases.restore_snapshot(&taken.id, &secret, &token()).await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
    target.region = region("us-west-2");
    let restore_token = token();
    let restored = databases.restore_snapshot(&copied.id, &target, &restore_token).await.unwrap();
    assert_eq!((&restored.name, &restored.id.region), (&target.name, &target.region));
    let sent = rig.parameters("RestoreDBInstanceFromDBSnapshot");
    assert_eq!(sent["ManageMasterUserPassword"], "true");
    assert!(!sent.contains_key("AllocatedStorage"), "a volume does not shrink");
    let fresh = open(&rig.proxy, rig.emulator.keys()).await;
    let again = fresh.aws_database().restore_snapshot(&copied.id, &target, &restore_token).await;
    assert_eq!(again.unwrap().id, restored.id);
    let error = fresh.aws_database().restore_snapshot(&copied.id, &target, &token()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    databases.delete_database(&restored.id).await.unwrap();
    assert!(databases.delete_snapshot(&copied.id).await.unwrap());
    assert!(!databases.delete_snapshot(&copied.id).await.unwrap());
    // Those that RDS takes by itself are not listed.
    let listed = databases.list_snapshots(&ListQuery::default()).complete().await.unwrap();
    assert!(listed.items().iter().all(|snapshot| !snapshot.id.native().contains("rds:")));
    assert!(listed.items().iter().any(|snapshot| snapshot.id == taken.id));
    databases.delete_snapshot(&taken.id).await.unwrap();
}
