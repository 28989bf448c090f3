//! The store over any [`Backend`]: changes go to the writer, reads go to a connection of their own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{Effect, Error, Page, PageRequest, PageToken, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{
    Entry, Fence, Lease, OwnedResource, Record, Store,
    batch::Writer,
    change::{Acquire, Append, CatalogRepair, Forget, RebuildCatalog, Release, Renew},
    limits::{PAGE_BYTES, check_prefix, check_stream, page_size},
    session::{Backend, Row, Value, corrupt, ended},
};

/// No stream gets this far; a page token that does is forged.
const MAX_SEQUENCE: u64 = 1 << 62;

/// A [`Store`] in an SQL database: [`SqliteStore`](super::SqliteStore) or `PostgresStore`. Cheap to clone.
///
/// It belongs to the runtime that it was opened in: when that ends, every call fails. Opening makes no lease; a
/// process that dies leaves nothing to clean up but its leases, which expire.
#[derive(Clone, Debug)]
pub struct SqlStore<B> {
    backend: Arc<B>,
    writer: Writer,
}

impl<B: Backend> SqlStore<B> {
    pub(super) fn new(backend: B) -> Self {
        let backend = Arc::new(backend);
        Self { writer: Writer::start(Arc::clone(&backend)), backend }
    }

    /// Derives the catalog from the journal alone, compares it with the stored one, and puts that right.
    ///
    /// The stored catalog can differ only if something other than this library wrote to the database, or damaged it.
    /// Everybody else's changes wait meanwhile. Memory grows with the number of owned resources.
    ///
    /// # Errors
    /// [`Corrupt`](cloud_core::ErrorKind::Corrupt) if the journal is unreadable; any that the database has. The
    /// catalog is unchanged then.
    pub async fn rebuild_catalog(&self) -> Result<CatalogRepair> {
        let repaired = self.writer.submit(RebuildCatalog).await;
        repaired.map_err(|e| e.with_operation("store.rebuild_catalog"))
    }

    /// Up to one row more than `size`, to see whether a page is the last, and whether the rows were cut off.
    async fn rows(
        &self,
        sql: &'static str,
        mut arguments: Vec<Value>,
        size: usize,
    ) -> Result<(Vec<Row>, bool)> {
        let permit = self.backend.reads().acquire().await;
        let _permit = permit.map_err(|_| ended(Effect::None))?;
        let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
        arguments.push(limit.into());
        let backend = Arc::clone(&self.backend);
        let answer = B::section(async move {
            let mut connection = backend.connection().await?;
            connection.query(sql.to_owned(), arguments, PAGE_BYTES).await
        })
        .await??;
        Ok((answer.rows, answer.cut))
    }

    /// One page of rows; `place` says of an item where it stands.
    async fn page<T>(
        &self,
        sql: &'static str,
        arguments: Vec<Value>,
        page: &PageRequest,
        item: impl FnMut(Row) -> Result<T>,
        place: impl Fn(&T) -> String,
    ) -> Result<Page<T>> {
        let size = page_size(page)?;
        let (rows, cut) = self.rows(sql, arguments, size).await?;
        let more = cut || rows.len() > size;
        let items = rows.into_iter().take(size).map(item).collect::<Result<Vec<T>>>()?;
        let next = match items.last() {
            Some(last) if more => Some(PageToken::new(place(last))?),
            _ => None,
        };
        Ok(Page { items, next })
    }

    async fn entries(&self, stream: &str, page: &PageRequest) -> Result<Page<Entry>> {
        check_stream(stream)?;
        let mut expected = match &page.after {
            None => 0,
            Some(token) => match token.as_str().parse::<u64>() {
                Ok(after) if after <= MAX_SEQUENCE => after,
                _ => return Err(foreign(token)),
            },
        };
        let after = i64::try_from(expected).unwrap_or(i64::MAX);
        self.page(
            "SELECT sequence, at, epoch, body, catalog FROM multicloud_journal \
             WHERE stream = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            vec![stream.into(), after.into()],
            page,
            |row| {
                let entry = entry(stream, row)?;
                expected += 1;
                if entry.sequence == expected {
                    return Ok(entry);
                }
                Err(corrupt(format!("entry {expected} of stream '{stream}' is missing")))
            },
            |entry| entry.sequence.to_string(),
        )
        .await
    }

    async fn stream_names(&self, prefix: &str, page: &PageRequest) -> Result<Page<String>> {
        check_prefix(prefix)?;
        let after = page.after.as_ref().map_or("", PageToken::as_str);
        // A range of the index and not LIKE, in which '%' and '_' would have a meaning.
        self.page(
            "SELECT name FROM multicloud_stream WHERE name >= $1 AND name > $2 \
             AND ($3 IS NULL OR name < $3) ORDER BY name LIMIT $4",
            vec![prefix.into(), after.into(), after_prefix(prefix).into()],
            page,
            |mut row| row.text(),
            String::clone,
        )
        .await
    }

    async fn owned(
        &self,
        deployment: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<OwnedResource>> {
        let (cloud, id) = match &page.after {
            None => ("", ""),
            // A cloud's id has no '/'.
            Some(token) => token.as_str().split_once('/').ok_or_else(|| foreign(token))?,
        };
        let mut arguments = vec![cloud.into(), id.into()];
        let sql = match deployment {
            None => {
                "SELECT resource FROM multicloud_owned WHERE (cloud, id) > ($1, $2) \
                 ORDER BY cloud, id LIMIT $3"
            }
            Some(deployment) => {
                arguments.push(deployment.into());
                "SELECT resource FROM multicloud_owned WHERE (cloud, id) > ($1, $2) AND deployment = $3 \
                 ORDER BY cloud, id LIMIT $4"
            }
        };
        self.page(
            sql,
            arguments,
            page,
            |mut row| json(&row.text()?, || "a resource of the catalog".to_owned()),
            |resource: &OwnedResource| format!("{}/{}", resource.cloud, resource.id),
        )
        .await
    }
}

#[async_trait]
impl<B: Backend> Store for SqlStore<B> {
    async fn append(&self, fence: &Fence, stream: &str, records: Vec<Record>) -> Result<u64> {
        let appended = match Append::new(fence, stream, &records) {
            Ok(append) => {
                drop(records);
                self.writer.submit(append).await
            }
            Err(error) => Err(error),
        };
        appended.map_err(|e| e.with_operation("store.append"))
    }

    async fn forget(&self, fence: &Fence, prefix: &str) -> Result<u64> {
        let forgotten = match Forget::new(fence, prefix) {
            Ok(forget) => self.writer.submit(forget).await,
            Err(error) => Err(error),
        };
        forgotten.map_err(|e| e.with_operation("store.forget"))
    }

    async fn read_page(&self, stream: &str, page: &PageRequest) -> Result<Page<Entry>> {
        let read = self.entries(stream, page).await;
        read.map_err(|e| e.with_operation("store.read"))
    }

    async fn streams_page(&self, prefix: &str, page: &PageRequest) -> Result<Page<String>> {
        let listed = self.stream_names(prefix, page).await;
        listed.map_err(|e| e.with_operation("store.streams"))
    }

    async fn catalog_page(
        &self,
        deployment: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<OwnedResource>> {
        let listed = self.owned(deployment, page).await;
        listed.map_err(|e| e.with_operation("store.catalog"))
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        let acquired = match Acquire::new(name, holder, ttl) {
            Ok(acquire) => self.writer.submit(acquire).await,
            Err(error) => Err(error),
        };
        acquired.map_err(|e| e.with_operation("store.acquire"))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let renewed = match Renew::new(lease, ttl) {
            Ok(renew) => self.writer.submit(renew).await,
            Err(error) => Err(error),
        };
        renewed.map_err(|e| e.with_operation("store.renew"))
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let released = match Release::new(lease) {
            Ok(release) => self.writer.submit(release).await,
            Err(error) => Err(error),
        };
        released.map_err(|e| e.with_operation("store.release"))
    }
}

fn entry(stream: &str, mut row: Row) -> Result<Entry> {
    let sequence = row.count()?;
    let what = || format!("entry {sequence} of stream '{stream}'");
    let at = Timestamp::from_microsecond(row.int()?)
        .map_err(|e| corrupt(format!("the time of {} is unreadable: {e}", what())))?;
    let epoch = row.count()?;
    let body = json(&row.text()?, what)?;
    let catalog = match row.optional_text()? {
        None => Vec::new(),
        Some(text) => json(&text, what)?,
    };
    Ok(Entry { sequence, at, epoch, record: Record { body, catalog } })
}

fn json<T: DeserializeOwned>(text: &str, what: impl Fn() -> String) -> Result<T> {
    serde_json::from_str(text).map_err(|e| corrupt(format!("{} is unreadable: {e}", what())))
}

fn foreign(token: &PageToken) -> Error {
    Error::invalid(
        "page token",
        format_args!("is '{token}'"),
        "the token of the page before, of the same query",
    )
}

/// The first text, in the order of bytes, that is after everything that begins with `prefix`; `None` if there is none.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The order of UTF-8 bytes is the order of code points; a char range steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_and_its_end_enclose_what_begins_with_it(
            prefix in "[a%_\u{d7ff}\u{10ffff}é]{0,4}",
            name in "[a-b%_\u{d7ff}\u{e000}\u{10ffff}é]{0,8}",
        ) {
            let inside = name >= prefix && after_prefix(&prefix).is_none_or(|end| name < end);
            prop_assert_eq!(inside, name.starts_with(&prefix));
        }
    }
}
