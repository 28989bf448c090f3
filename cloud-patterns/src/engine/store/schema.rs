//! The tables of a store and the check that they are of a version that this code understands.

use cloud_core::{Error, ErrorKind, Result};

use super::session::{Connection, Row, corrupt};

/// The version of the tables. Grows with every change of them.
const VERSION: i64 = 1;

/// Who writes a store, kept in it so that another version can say it.
const WRITER: &str = concat!("cloud-patterns ", env!("CARGO_PKG_VERSION"));

/// The statements that make an empty store. `$int` is a type of 64 bits, `$text` a text that is ordered by its bytes.
///
/// The journal's `position` orders all streams together: the catalog is what its changes come to in that order.
const TABLES: [&str; 6] = [
    "CREATE TABLE multicloud_store (id $int PRIMARY KEY CHECK (id = 1), version $int NOT NULL, written_by $text NOT NULL)",
    "CREATE TABLE multicloud_lease (name $text NOT NULL PRIMARY KEY, epoch $int NOT NULL, holder $text, expires_at $int NOT NULL)",
    "CREATE TABLE multicloud_stream (name $text NOT NULL PRIMARY KEY, last $int NOT NULL)",
    "CREATE TABLE multicloud_journal (position $int PRIMARY KEY, stream $text NOT NULL, sequence $int NOT NULL, \
     at $int NOT NULL, epoch $int NOT NULL, body $text NOT NULL, catalog $text, UNIQUE (stream, sequence))",
    "CREATE TABLE multicloud_owned (cloud $text NOT NULL, id $text NOT NULL, deployment $text NOT NULL, \
     resource $text NOT NULL, PRIMARY KEY (cloud, id))",
    "CREATE INDEX multicloud_owned_by ON multicloud_owned (deployment, cloud, id)",
];

/// Makes the tables. To be called in a transaction.
pub(super) async fn create(connection: &mut dyn Connection, int: &str, text: &str) -> Result<()> {
    for table in TABLES {
        let sql = table.replace("$int", int).replace("$text", text);
        connection.run(&sql, vec![]).await?;
    }
    connection
        .run(
            "INSERT INTO multicloud_store (id, version, written_by) VALUES (1, $1, $2)",
            vec![VERSION.into(), WRITER.into()],
        )
        .await?;
    Ok(())
}

/// Refuses a store that another version wrote. `lock` makes the query wait until no other transaction writes.
pub(super) async fn check(connection: &mut dyn Connection, lock: &str) -> Result<()> {
    let sql = format!("SELECT version, written_by FROM multicloud_store WHERE id = 1{lock}");
    let Some(mut row) = connection.run(&sql, vec![]).await?.into_iter().next() else {
        return Err(corrupt("the store does not say of which version it is"));
    };
    let (version, by) = version(&mut row)?;
    if version == VERSION {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Corrupt,
        format!(
            "the store was written by {by} (format {version}); this is {WRITER} (format {VERSION})"
        ),
    );
    Err(error.with_hint("use the version that wrote it, or a later one; nothing was changed"))
}

fn version(row: &mut Row) -> Result<(i64, String)> {
    Ok((row.int()?, row.text()?))
}
