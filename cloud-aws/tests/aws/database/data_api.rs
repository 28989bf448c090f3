//! SQL over the Data API: moto takes the statements and runs none, so the answers are canned.

use super::*;
use cloud_core::{Column, ColumnType, Row, SqlValue, TableSpec};
use cloud_rig::Reply;

/// A cluster whose Data API moto says is off, as it does of every version that is in use; the proxy switches it on.
fn switched_on(proxy: &Proxy, name: &str, arn: &str, engine: &str) {
    let body = format!(
        "<DescribeDBClustersResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><DescribeDBClustersResult><DBClusters><DBCluster>\
         <DBClusterIdentifier>{name}</DBClusterIdentifier><DBClusterArn>{arn}</DBClusterArn><Engine>{engine}</Engine><Status>available</Status>\
         <HttpEndpointEnabled>true</HttpEndpointEnabled><DatabaseName>app</DatabaseName><MasterUsername>app</MasterUsername>\
         <DBClusterMembers><DBClusterMember><DBInstanceIdentifier>{name}-1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>\
         <MasterUserSecret><SecretArn>arn:aws:secretsmanager:us-east-1:123456789012:secret:rds-1</SecretArn></MasterUserSecret>\
         </DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>"
    );
    let what = What::answer(Reply::new(200, "text/xml", body));
    proxy.inject(Fault::on("rds", "DescribeDBClusters", what));
}

fn answers(proxy: &Proxy, body: serde_json::Value) {
    let what = What::answer(Reply::new(200, "application/json", body.to_string()));
    proxy.inject(Fault::when(|seen| seen.path == "/Execute", what));
}

fn fails(proxy: &Proxy, code: &str, message: &str) {
    let what = What::error(400, code, message);
    proxy.inject(Fault::when(|seen| seen.path == "/Execute", what));
}

fn sent(proxy: &Proxy) -> serde_json::Value {
    let requests = proxy.requests();
    let seen = requests.iter().rfind(|seen| seen.path == "/Execute").unwrap();
    serde_json::from_slice(&seen.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_requests() {
    let Some(emulator) = Emulator::shared(Kind::Moto) else { return };
    let folder = tempfile::tempdir().unwrap();
    {
        let proxy = Proxy::recording("moto", emulator.server().address(), Some(folder.path()));
        statements(&proxy, emulator).await;
    }
    let Some(verdict) = judge(folder.path(), None) else { return };
    verdict.assert_clean();
}

async fn statements(proxy: &Proxy, emulator: &Emulator) {
    let cloud = open(proxy, emulator.keys()).await;
    let databases = cloud.aws_database();
    let id = ResourceId::new(ResourceKind::Database, region("us-east-1"), "cluster:shop").unwrap();
    let arn = "arn:aws:rds:us-east-1:123456789012:cluster:shop";
    switched_on(proxy, "shop", arn, "aurora-postgresql");
    let sql = databases.data_api(&id).await.unwrap();
    // moto runs no SQL: it answers that nothing was changed.
    assert_eq!(sql.execute("DELETE FROM orders WHERE id = $1", &[7.into()]).await.unwrap(), 0);
    let body = sent(proxy);
    assert_eq!(body["sql"], "DELETE FROM orders WHERE id = :p1");
    assert_eq!(body["parameters"][0]["value"]["longValue"], 7);
    assert_eq!((&body["resourceArn"], &body["database"]), (&arn.into(), &"app".into()));

    answers(
        proxy,
        serde_json::json!({
            "columnMetadata": [{"label": "id"}, {"label": "name"}, {"label": "paid"}, {"label": "at"}],
            "records": [[{"longValue": 1}, {"stringValue": "Ada"}, {"booleanValue": true}, {"isNull": true}]],
        }),
    );
    let values: [SqlValue; 3] = ["Ada".into(), SqlValue::Null, vec![1, 2].into()];
    let rows = sql.query("SELECT '$1', * FROM orders WHERE a = $2 OR b = $1 OR c = $3", &values);
    let rows = rows.await.unwrap();
    let wanted = Row::from([
        ("id".to_owned(), 1.into()),
        ("name".to_owned(), "Ada".into()),
        ("paid".to_owned(), true.into()),
        ("at".to_owned(), SqlValue::Null),
    ]);
    assert_eq!(rows, [wanted]);
    assert_eq!(
        sent(proxy)["sql"],
        "SELECT '$1', * FROM orders WHERE a = :p2 OR b = :p1 OR c = :p3"
    );
    assert_eq!(sent(proxy)["parameters"][2]["value"]["blobValue"], "AQI=");

    let table = TableSpec::new("orders", [Column::new("customer", ColumnType::Text)]);
    assert!(sql.create_table(&table).await.unwrap());
    let there = "ERROR: relation \"orders\" already exists; SQLState: 42P07";
    fails(proxy, "DatabaseErrorException", there);
    assert!(!sql.create_table(&table).await.unwrap());
    answers(
        proxy,
        serde_json::json!({"columnMetadata": [{"label": "id"}], "records": [[{"longValue": 5}]]}),
    );
    let row = Row::from([("customer".to_owned(), "Ada".into())]);
    assert_eq!(sql.insert("orders", &row).await.unwrap(), 5);
    fails(proxy, "DatabaseErrorException", "duplicate key; SQLState: 23505");
    let error = sql.execute("INSERT INTO orders VALUES ($1)", &[1.into()]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::None));
    fails(proxy, "DatabaseResumingException", "resuming");
    let error = sql.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None));
    for (statement, count) in [("SELECT :a", 0), ("SELECT $1", 0), ("BEGIN", 0), ("SELECT 1", 1)] {
        let values = vec![SqlValue::Null; count];
        let error = sql.query(statement, &values).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{statement}");
    }

    switched_on(proxy, "shop", arn, "aurora-mysql");
    let sql = databases.data_api(&id).await.unwrap();
    answers(
        proxy,
        serde_json::json!({"generatedFields": [{"longValue": 9}], "numberOfRecordsUpdated": 1}),
    );
    assert_eq!(sql.insert("orders", &row).await.unwrap(), 9);
    assert_eq!(sent(proxy)["sql"], "INSERT INTO `orders` (`customer`) VALUES (:p1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_it_is_refused() {
    let Some(rig) = rig().await else { return };
    let databases = rig.databases();
    let made = databases.create_database(&spec(&name("no"), Engine::Postgres), &token()).await;
    let made = made.unwrap();
    let error = databases.data_api(&made.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    databases.delete_database(&made.id).await.unwrap();
}
