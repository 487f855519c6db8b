//! The DynamoDB table.
//!
//! # Theory of operation
//! One table holds everything but secrets. [`keys`] says where each thing lives; nothing else builds a key, and every
//! key of a customer's thing starts with its tenant. Three things hold for every item:
//!
//! - **Versions.** `version` counts its writes, and a write succeeds only on the version that was read. The one loop that
//!   reads, changes and tries again is [`Table::update`].
//! - **Write ids.** Each write leaves a random `write_id`. The SDK repeats a request whose answer was lost; the repeated
//!   condition then meets the write's own id and succeeds instead of looking like a conflict.
//! - **Index attributes** are derived from the record ([`Record::index`]), so they cannot disagree with it: `kind_order`
//!   (the local index `by_kind`: consistent reads in another order), `slim_order` (the local index `slim`: consistent
//!   reads of a few attributes only), `due_queue` and `due_at` (the global index `due`:
//!   background work, found without a scan) and `expires_at` (DynamoDB's time to live).
//!
//! An item that cannot be read fails whoever reads it, so that nothing is decided or written on half the truth. A list is
//! not to fail for one of its items: [`Table::for_lists`] leaves such an item out, and says so in the log and in a metric.

mod counter;
pub mod cursor;
pub mod keys;
mod transaction;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, ReturnConsumedCapacity, WriteRequest};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use cursor::Cursor;
pub use keys::Key;
pub use transaction::{Transaction, Uncommitted};

use crate::clock::Ids;
use crate::telemetry::metrics;

/// What can be stored.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// Where the record stands in the indexes.
    fn index(&self) -> Index {
        Index::default()
    }
}

/// Where a record stands in the table's indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Sort key in `by_kind`.
    pub kind_order: Option<String>,
    /// Sort key in `slim`.
    pub slim_order: Option<String>,
    /// The queue of background work that the record waits in, and since when it is due.
    pub due: Option<(String, Timestamp)>,
    /// When DynamoDB may remove it.
    pub expires_at: Option<Timestamp>,
}

/// A record as it was read, with the version that a write must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<R> {
    /// The record.
    pub record: R,
    /// Counts its writes, from 1.
    pub version: u64,
}

/// A run of records, and whether more follow.
#[derive(Debug, Clone)]
pub struct Page<R> {
    /// The records in order.
    pub records: Vec<R>,
    /// True if the partition holds more of them.
    pub more: bool,
    /// How many were left out on the way because they cannot be read: 0 but in [`Table::for_lists`].
    pub unreadable: usize,
}

/// Why the table did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such item.
    #[error("no such item")]
    Missing,
    /// There is one already.
    #[error("the item exists already")]
    Exists,
    /// Other writers were quicker, every time.
    #[error("the item is being changed by too many writers at once")]
    Contended,
    /// The item is not what the code expects.
    #[error("the item cannot be read")]
    Malformed(#[source] serde_dynamo::Error),
    /// DynamoDB refused for certain; nothing was written.
    #[error("DynamoDB refused the request: {code}")]
    Refused {
        /// DynamoDB's name for the reason.
        code: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB did not answer. A write may have happened.
    #[error("DynamoDB did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TableError {
    /// True if a write that ended so has certainly not happened.
    #[must_use]
    pub fn nothing_written(&self) -> bool {
        matches!(self, Self::Missing | Self::Exists | Self::Contended)
    }
}

/// What a Query goes through.
struct Walk<'a> {
    index: Option<&'static str>,
    order: &'static str,
    partition: &'a str,
    prefix: &'a str,
    backwards: bool,
}

impl Walk<'_> {
    /// The key of an index's entry with this order and this sort key.
    fn start(&self, (order, sort): (&str, &str)) -> HashMap<String, AttributeValue> {
        let mut key = Key::new(self.partition, sort).attributes();
        key.insert(self.order.to_owned(), AttributeValue::S(order.to_owned()));
        key
    }
}

/// The table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    ids: Ids,
    /// The group whose unreadable items are left out.
    leaves_out: Option<&'static str>,
}

/// An item as DynamoDB has it.
type Attributes = HashMap<String, AttributeValue>;

const UPDATE_TRIES: u32 = 12;

impl Table {
    /// The table `name`, reached through `client`.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>, ids: Ids) -> Self {
        Self { client, name: name.into(), ids, leaves_out: None }
    }

    /// The same table for a group's lists: reads of several items leave out what cannot be read, log its key and count it.
    /// A page is filled up from what follows. Nothing may be written or removed because of what is not in such a list.
    #[must_use]
    pub fn for_lists(&self, group: &'static str) -> Self {
        Self { leaves_out: Some(group), ..self.clone() }
    }

    /// The SDK's client, for a group's store that needs an operation of its own.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one item, consistently: half a read unit per 4 KB, doubled.
    ///
    /// # Errors
    /// [`TableError::Missing`] and whatever keeps DynamoDB from answering.
    pub async fn get<R: Record>(&self, key: &Key) -> Result<Stored<R>, TableError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(refine)?;
        stored(output.item.ok_or(TableError::Missing)?)
    }

    /// Writes an item that must not exist. `write_id` makes a repeated creation succeed on its own work.
    ///
    /// # Errors
    /// [`TableError::Exists`] and whatever keeps DynamoDB from answering.
    pub async fn create<R: Record>(&self, key: &Key, record: R, write_id: Uuid) -> Result<Stored<R>, TableError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item(key, &record, 1, write_id)?))
            .condition_expression("attribute_not_exists(pk) OR write_id = :mine")
            .expression_attribute_values(":mine", AttributeValue::S(write_id.to_string()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| if is_conditional(&error) { TableError::Exists } else { refine(error) })?;
        Ok(Stored { record, version: 1 })
    }

    /// Writes an item over the version that was read.
    ///
    /// # Errors
    /// [`TableError::Contended`] if it is not that version any more (or gone), and whatever keeps DynamoDB from
    /// answering.
    pub async fn replace<R: Record>(&self, key: &Key, record: R, read: u64) -> Result<Stored<R>, TableError> {
        let write_id = self.ids.uuid();
        let version = read.saturating_add(1);
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item(key, &record, version, write_id)?))
            .condition_expression("version = :read OR write_id = :mine")
            .expression_attribute_values(":read", AttributeValue::N(read.to_string()))
            .expression_attribute_values(":mine", AttributeValue::S(write_id.to_string()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| if is_conditional(&error) { TableError::Contended } else { refine(error) })?;
        Ok(Stored { record, version })
    }

    /// Reads, changes and writes back, again while others get in between. `change` may run several times; where it
    /// changes nothing, nothing is written.
    ///
    /// # Errors
    /// What `change` says, [`TableError::Missing`], [`TableError::Contended`] after a dozen tries, and whatever keeps
    /// DynamoDB from answering.
    pub async fn update<R, T, E>(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut R) -> Result<T, E>,
    ) -> Result<(Stored<R>, T), E>
    where
        R: Record + Clone + PartialEq,
        E: From<TableError>,
    {
        for attempt in 0..UPDATE_TRIES {
            let Stored { record: before, version } = self.get::<R>(key).await?;
            let mut after = before.clone();
            let value = change(&mut after)?;
            if after == before {
                return Ok((Stored { record: before, version }, value));
            }
            match self.replace(key, after, version).await {
                Err(TableError::Contended) => self.pause(attempt).await,
                Err(error) => return Err(error.into()),
                Ok(stored) => return Ok((stored, value)),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Every record of a partition whose sort key starts with `prefix`, with its version, by as many consistent Queries as
    /// it takes.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn all<R: Record>(&self, partition: &str, prefix: &str) -> Result<Vec<Stored<R>>, TableError> {
        let mut records = Vec::new();
        let mut start = None;
        loop {
            let output = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :partition AND begins_with(sk, :prefix)")
                .expression_attribute_values(":partition", AttributeValue::S(partition.into()))
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.into()))
                .set_exclusive_start_key(start)
                .consistent_read(true)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(refine)?;
            for item in output.items.unwrap_or_default() {
                records.extend(self.read(item)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(records);
            }
        }
    }

    /// Waits before another try at a contended item: up to 5 ms, doubled each time, at most 160 ms.
    pub async fn pause(&self, attempt: u32) {
        let [random] = self.ids.bytes::<1>();
        let most = 5_u64 << attempt.min(5);
        tokio::time::sleep(Duration::from_millis(most * u64::from(random) / 255)).await;
    }

    /// Removes an item. One that is not there is as good as removed.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn delete(&self, key: &Key) -> Result<(), TableError> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(refine)?;
        Ok(())
    }

    /// One consistent Query for up to `limit` records of a partition whose sort key starts with `prefix`, in its order,
    /// after the key `after`.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn page<R: Record>(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<R>, TableError> {
        let start = after.map(|sort| Key::new(partition, sort).attributes());
        self.query(&Walk { index: None, order: "sk", partition, prefix, backwards: false }, start, limit).await
    }

    /// The same from the end of the partition to its beginning.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn page_backwards<R: Record>(
        &self,
        partition: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<R>, TableError> {
        let start = after.map(|sort| Key::new(partition, sort).attributes());
        self.query(&Walk { index: None, order: "sk", partition, prefix: "", backwards: true }, start, limit).await
    }

    /// As [`page`](Self::page), by the local index `by_kind`: `prefix` is of `kind_order`, and `after` is the last record's pair of
    /// `kind_order` and sort key.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn page_by_kind<R: Record>(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Page<R>, TableError> {
        let walk = Walk { index: Some("by_kind"), order: "kind_order", partition, prefix, backwards: false };
        self.query(&walk, after.map(|after| walk.start(after)), limit).await
    }

    /// The same from the end of the order to its beginning.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn page_by_kind_backwards<R: Record>(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Page<R>, TableError> {
        let walk = Walk { index: Some("by_kind"), order: "kind_order", partition, prefix, backwards: true };
        self.query(&walk, after.map(|after| walk.start(after)), limit).await
    }

    /// Up to `limit` records of a partition, in the order of the local index `slim` and with only the attributes that it
    /// carries: one Query for each megabyte of them.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn slim<R: Record>(&self, partition: &str, limit: usize) -> Result<Page<R>, TableError> {
        let walk = Walk { index: Some("slim"), order: "slim_order", partition, prefix: "", backwards: false };
        let mut page = Page::default();
        let mut start = None;
        loop {
            let end = self.query_into(&mut page, &walk, start, limit).await?;
            if end.is_none() || page.records.len() > limit {
                return Ok(page.cut(limit, false));
            }
            start = end;
        }
    }

    /// One Query; where it has met what cannot be read, as many as it takes to fill the page.
    async fn query<R: Record>(
        &self,
        walk: &Walk<'_>,
        mut start: Option<Attributes>,
        limit: usize,
    ) -> Result<Page<R>, TableError> {
        let mut page = Page::default();
        loop {
            let before = page.unreadable;
            let end = self.query_into(&mut page, walk, start, limit).await?;
            if end.is_none() || page.records.len() > limit || page.unreadable == before {
                return Ok(page.cut(limit, end.is_some()));
            }
            start = end;
        }
    }

    /// One Query for what a page lacks and one more, which tells whether there is more. Gives where DynamoDB stopped if it
    /// did not come to the end; that is set even on the very last item.
    async fn query_into<R: Record>(
        &self,
        page: &mut Page<R>,
        walk: &Walk<'_>,
        start: Option<Attributes>,
        limit: usize,
    ) -> Result<Option<Attributes>, TableError> {
        let asked = limit.saturating_add(1).saturating_sub(page.records.len());
        let asked = i32::try_from(asked).unwrap_or(i32::MAX);
        let query = self.client.query().table_name(&self.name).set_index_name(walk.index.map(str::to_owned));
        let query = query.expression_attribute_values(":partition", AttributeValue::S(walk.partition.into()));
        // DynamoDB takes no empty text for a key.
        let query = if walk.prefix.is_empty() {
            query.key_condition_expression("pk = :partition")
        } else {
            query
                .key_condition_expression("pk = :partition AND begins_with(#order, :prefix)")
                .expression_attribute_names("#order", walk.order)
                .expression_attribute_values(":prefix", AttributeValue::S(walk.prefix.into()))
        };
        let output = query
            .set_exclusive_start_key(start)
            .scan_index_forward(!walk.backwards)
            .consistent_read(true)
            .limit(asked)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(refine)?;
        for item in output.items.unwrap_or_default() {
            match self.read(item)? {
                Some(Stored { record, .. }) => page.records.push(record),
                None => page.unreadable += 1,
            }
        }
        Ok(output.last_evaluated_key)
    }

    /// What an item holds; nothing, if it cannot be read and is left out. What the item has instead is not logged.
    fn read<R: Record>(&self, item: Attributes) -> Result<Option<Stored<R>>, TableError> {
        let Some(group) = self.leaves_out else { return stored(item).map(Some) };
        let key = Key::of(&item);
        match stored(item) {
            Err(TableError::Malformed(error)) => {
                let (partition, sort) = key.map(|key| (key.partition, key.sort)).unzip();
                let reason = without_values(&error.to_string());
                tracing::error!(group, partition, sort, reason, "an item cannot be read and is left out");
                metrics::unreadable(group);
                Ok(None)
            }
            stored => stored.map(Some),
        }
    }

    /// Reads several items, consistently, in any order; those that are not there are left out.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn get_several<R: Record>(&self, keys: &[Key]) -> Result<Vec<R>, TableError> {
        let mut records = Vec::with_capacity(keys.len());
        // DynamoDB takes a hundred at a time.
        for keys in keys.chunks(100) {
            let mut wanted = keys.iter().map(Key::attributes).collect::<Vec<_>>();
            for attempt in 0..UPDATE_TRIES {
                let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
                let request = request.map_err(|error| TableError::Unavailable(Box::new(error)))?;
                let get = self.client.batch_get_item().request_items(&self.name, request);
                let output =
                    get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(refine)?;
                for item in output.responses.unwrap_or_default().into_values().flatten() {
                    records.extend(self.read(item)?.map(|stored: Stored<R>| stored.record));
                }
                let left = output.unprocessed_keys.unwrap_or_default().remove(&self.name);
                wanted = left.map(|left| left.keys).unwrap_or_default();
                if wanted.is_empty() {
                    break;
                }
                self.pause(attempt).await;
            }
            if !wanted.is_empty() {
                return Err(TableError::Contended);
            }
        }
        Ok(records)
    }

    /// Up to `limit` keys of a partition, from its beginning.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn keys_in(&self, partition: &str, limit: usize) -> Result<Vec<Key>, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :partition")
            .expression_attribute_values(":partition", AttributeValue::S(partition.into()))
            .projection_expression("pk, sk")
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(refine)?;
        Ok(output.items.unwrap_or_default().iter().filter_map(Key::of).collect())
    }

    /// Removes several items, whatever they are. Stopped in between, some are gone.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn delete_several(&self, keys: &[Key]) -> Result<(), TableError> {
        // DynamoDB takes twenty-five at a time.
        for keys in keys.chunks(25) {
            let mut wanted = Vec::with_capacity(keys.len());
            for key in keys {
                let delete = DeleteRequest::builder().set_key(Some(key.attributes())).build();
                let delete = delete.map_err(|error| TableError::Unavailable(Box::new(error)))?;
                wanted.push(WriteRequest::builder().delete_request(delete).build());
            }
            for attempt in 0..UPDATE_TRIES {
                let write = self.client.batch_write_item().request_items(&self.name, wanted);
                let output =
                    write.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.map_err(refine)?;
                wanted = output.unprocessed_items.unwrap_or_default().remove(&self.name).unwrap_or_default();
                if wanted.is_empty() {
                    break;
                }
                self.pause(attempt).await;
            }
            if !wanted.is_empty() {
                return Err(TableError::Contended);
            }
        }
        Ok(())
    }

    /// One Query for up to `limit` keys of what waits in `queue` and has been due since `until` or earlier, the longest
    /// waiting first. Eventually consistent: what comes back must be claimed on the item itself.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering.
    pub async fn due(&self, queue: &str, until: Timestamp, limit: usize) -> Result<Vec<Key>, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .index_name("due")
            .key_condition_expression("due_queue = :queue AND due_at <= :until")
            .expression_attribute_values(":queue", AttributeValue::S(queue.into()))
            .expression_attribute_values(":until", AttributeValue::N(until.as_millisecond().to_string()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(refine)?;
        Ok(output.items.unwrap_or_default().iter().filter_map(Key::of).collect())
    }
}

impl<R> Default for Page<R> {
    fn default() -> Self {
        Self { records: Vec::new(), more: false, unreadable: 0 }
    }
}

impl<R> Page<R> {
    /// The page without what was read beyond its end. `goes_on` says that DynamoDB did not come to the end.
    fn cut(mut self, limit: usize, goes_on: bool) -> Self {
        self.more = goes_on || self.records.len() > limit;
        self.records.truncate(limit);
        self
    }
}

/// Why an item cannot be read, as serde says it, without the value that it quotes.
fn without_values(error: &str) -> String {
    if error.starts_with("missing field") {
        return error.to_owned();
    }
    match error.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "it has another form".into(),
    }
}

fn attributes<R: Record>(record: &R) -> Result<HashMap<String, AttributeValue>, TableError> {
    let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(record).map_err(TableError::Malformed)?;
    let index = record.index();
    if let Some(kind_order) = index.kind_order {
        item.insert("kind_order".into(), AttributeValue::S(kind_order));
    }
    if let Some(slim_order) = index.slim_order {
        item.insert("slim_order".into(), AttributeValue::S(slim_order));
    }
    if let Some((queue, at)) = index.due {
        item.insert("due_queue".into(), AttributeValue::S(queue));
        item.insert("due_at".into(), AttributeValue::N(at.as_millisecond().to_string()));
    }
    if let Some(at) = index.expires_at {
        item.insert("expires_at".into(), AttributeValue::N(at.as_second().to_string()));
    }
    Ok(item)
}

fn with_key(
    mut item: HashMap<String, AttributeValue>,
    key: &Key,
    version: u64,
    write_id: Uuid,
) -> HashMap<String, AttributeValue> {
    item.extend(key.attributes());
    item.insert("version".into(), AttributeValue::N(version.to_string()));
    item.insert("write_id".into(), AttributeValue::S(write_id.to_string()));
    item
}

fn item<R: Record>(
    key: &Key,
    record: &R,
    version: u64,
    write_id: Uuid,
) -> Result<HashMap<String, AttributeValue>, TableError> {
    Ok(with_key(attributes(record)?, key, version, write_id))
}

fn stored<R: Record>(item: HashMap<String, AttributeValue>) -> Result<Stored<R>, TableError> {
    let version = item.get("version").and_then(|version| version.as_n().ok()).and_then(|version| version.parse().ok());
    let record = serde_dynamo::from_item(item).map_err(TableError::Malformed)?;
    Ok(Stored { record, version: version.unwrap_or(0) })
}

fn is_conditional<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// What an SDK error means: a refusal, or no answer.
pub fn refine<E, R>(error: SdkError<E, R>) -> TableError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
    match code {
        // Another writer's transaction has the item just now.
        Some(code) if code == "TransactionConflictException" => TableError::Contended,
        Some(code) => TableError::Refused { code, source: Box::new(error) },
        None => TableError::Unavailable(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_an_item_cannot_be_read_is_told_without_its_values() {
        for (error, told) in [
            ("missing field `name`", "missing field `name`"),
            ("invalid type: string \"c4n4ry, expected nothing\", expected u64", "expected u64"),
            ("unknown variant `c4n4ry`, expected `slack` or `discord`", "expected `slack` or `discord`"),
            ("parsing c4n4ry failed", "it has another form"),
        ] {
            assert_eq!(without_values(error), told);
        }
    }
}
