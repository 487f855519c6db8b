//! Several writes that happen all or not at all.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};

use super::{Key, Record, Table, TableError, UPDATE_TRIES, item, refine};

/// Several writes that happen all or not at all: at most a hundred, each of another item.
///
/// The SDK repeats a request whose answer was lost under the same token, and DynamoDB then answers for what it did the
/// first time, so nothing is done or counted twice.
#[derive(Debug)]
#[must_use = "nothing is written until `write`"]
pub struct Together<'t> {
    table: &'t Table,
    writes: Vec<TransactWriteItem>,
}

impl<'t> Together<'t> {
    /// DynamoDB takes so many writes at a time.
    pub const MOST: usize = 100;

    pub(super) fn new(table: &'t Table) -> Self {
        Self { table, writes: Vec::new() }
    }

    /// How many writes there are; the next one's number.
    #[must_use]
    pub fn count(&self) -> usize {
        self.writes.len()
    }

    /// Creates `record`, which must not exist.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn create<R: Record>(self, key: &Key, record: &R) -> Result<Self, TableError> {
        let put = self.put_of(key, record, 1)?.condition_expression("attribute_not_exists(pk)");
        self.with_put(put)
    }

    /// Writes `record` over the version that was read.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn replace<R: Record>(self, key: &Key, record: &R, read: u64) -> Result<Self, TableError> {
        let put = self.put_of(key, record, read.saturating_add(1))?.condition_expression("version = :read");
        self.with_put(put.expression_attribute_values(":read", AttributeValue::N(read.to_string())))
    }

    /// Writes `record` over whatever is there, or nothing.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn put<R: Record>(self, key: &Key, record: &R) -> Result<Self, TableError> {
        let put = self.put_of(key, record, 1)?;
        self.with_put(put)
    }

    /// Removes the version that was read.
    ///
    /// # Errors
    /// [`TableError::Unavailable`] if the request could not be put together.
    pub fn delete_version(self, key: &Key, read: u64) -> Result<Self, TableError> {
        let delete = Delete::builder().table_name(&self.table.name).set_key(Some(key.attributes()));
        let delete = delete
            .condition_expression("version = :read")
            .expression_attribute_values(":read", AttributeValue::N(read.to_string()))
            .build()
            .map_err(|error| TableError::Unavailable(Box::new(error)))?;
        Ok(self.with(TransactWriteItem::builder().delete(delete).build()))
    }

    /// Removes an item, whatever it is.
    ///
    /// # Errors
    /// [`TableError::Unavailable`] if the request could not be put together.
    pub fn delete(self, key: &Key) -> Result<Self, TableError> {
        let delete = Delete::builder().table_name(&self.table.name).set_key(Some(key.attributes())).build();
        let delete = delete.map_err(|error| TableError::Unavailable(Box::new(error)))?;
        Ok(self.with(TransactWriteItem::builder().delete(delete).build()))
    }

    /// Adds `by` to a number of an item, which is created with it if it is not there.
    ///
    /// # Errors
    /// [`TableError::Unavailable`] if the request could not be put together.
    pub fn add(self, key: &Key, attribute: &str, by: i64) -> Result<Self, TableError> {
        let update = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key.attributes()))
            .update_expression("ADD #number :by")
            .expression_attribute_names("#number", attribute)
            .expression_attribute_values(":by", AttributeValue::N(by.to_string()))
            .build()
            .map_err(|error| TableError::Unavailable(Box::new(error)))?;
        Ok(self.with(TransactWriteItem::builder().update(update).build()))
    }

    fn put_of<R: Record>(
        &self,
        key: &Key,
        record: &R,
        version: u64,
    ) -> Result<aws_sdk_dynamodb::types::builders::PutBuilder, TableError> {
        let item: HashMap<String, AttributeValue> = item(key, record, version, self.table.ids.uuid())?;
        Ok(Put::builder().table_name(&self.table.name).set_item(Some(item)))
    }

    fn with_put(self, put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<Self, TableError> {
        let put = put.build().map_err(|error| TableError::Unavailable(Box::new(error)))?;
        Ok(self.with(TransactWriteItem::builder().put(put).build()))
    }

    fn with(mut self, write: TransactWriteItem) -> Self {
        self.writes.push(write);
        self
    }

    /// Writes all of it, again while other transactions are in the way.
    ///
    /// # Errors
    /// [`TableError::Unmet`] with the numbers of the writes whose conditions did not hold, [`TableError::Contended`]
    /// after a dozen tries, and whatever keeps DynamoDB from answering.
    pub async fn write(self) -> Result<(), TableError> {
        for attempt in 0..UPDATE_TRIES {
            let write = self.table.client.transact_write_items().set_transact_items(Some(self.writes.clone()));
            let write = write.client_request_token(self.table.ids.uuid().to_string());
            let error = match write.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match reasons(&error) {
                None => return Err(refine(error)),
                Some(reasons) => {
                    let unmet = reasons.iter().enumerate().filter(|(_, reason)| *reason == "ConditionalCheckFailed");
                    let unmet: Vec<usize> = unmet.map(|(number, _)| number).collect();
                    if !unmet.is_empty() {
                        return Err(TableError::Unmet(unmet));
                    }
                    if let Some(code) = reasons.iter().find(|reason| !PASSING.contains(&reason.as_str())) {
                        return Err(TableError::Refused { code: code.clone(), source: Box::new(error) });
                    }
                }
            }
            self.table.pause(attempt).await;
        }
        Err(TableError::Contended)
    }
}

/// Reasons to cancel a transaction that may be gone at the next try.
const PASSING: &[&str] =
    &["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"];

/// Why each write was refused, if the transaction was cancelled.
fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Vec<String>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let reasons = cancelled.cancellation_reasons().iter();
            Some(reasons.map(|reason| reason.code().unwrap_or("None").to_owned()).collect())
        }
        _ => None,
    }
}
