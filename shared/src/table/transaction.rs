//! Several writes, all or none.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem};
use uuid::Uuid;

use super::{Key, Record, Table, TableError, item, refine};

/// Writes that happen together. Its token makes a repeated commit succeed on its own work.
#[derive(Debug)]
pub struct Transaction {
    table: String,
    token: Uuid,
    items: Vec<TransactWriteItem>,
}

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Uncommitted {
    /// The conditions of the writes at these places, counted from 0, did not hold.
    #[error("conditions of the transaction did not hold")]
    Conditions(Vec<usize>),
    /// Whatever else; [`TableError::Contended`] where another transaction was under way.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Uncommitted {
    /// True if the condition of the write at this place did not hold.
    #[must_use]
    pub fn failed_at(&self, place: usize) -> bool {
        matches!(self, Self::Conditions(places) if places.contains(&place))
    }

    /// True if reading again and trying again may end otherwise.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Conditions(_) | Self::Table(TableError::Contended))
    }
}

impl Transaction {
    /// Adds the creation of `record`, which must not exist.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn create<R: Record>(&mut self, key: &Key, record: &R) -> Result<(), TableError> {
        let put = Put::builder()
            .set_item(Some(item(key, record, 1, self.token)?))
            .condition_expression("attribute_not_exists(pk)");
        self.put(put)
    }

    /// Adds the replacement of the version `read` by `record`.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn replace<R: Record>(&mut self, key: &Key, record: &R, read: u64) -> Result<(), TableError> {
        let put = Put::builder()
            .set_item(Some(item(key, record, read.saturating_add(1), self.token)?))
            .condition_expression("version = :read")
            .expression_attribute_values(":read", AttributeValue::N(read.to_string()));
        self.put(put)
    }

    fn put(&mut self, put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<(), TableError> {
        let put = put.table_name(&self.table).build().map_err(|error| TableError::Unavailable(Box::new(error)))?;
        self.items.push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    /// Adds the removal of an item: of the version `read`, or of whatever is there.
    ///
    /// # Errors
    /// None that a caller can bring about.
    pub fn delete(&mut self, key: &Key, read: Option<u64>) -> Result<(), TableError> {
        let mut delete = Delete::builder().table_name(&self.table).set_key(Some(key.attributes()));
        if let Some(read) = read {
            delete = delete
                .condition_expression("version = :read")
                .expression_attribute_values(":read", AttributeValue::N(read.to_string()));
        }
        let delete = delete.build().map_err(|error| TableError::Unavailable(Box::new(error)))?;
        self.items.push(TransactWriteItem::builder().delete(delete).build());
        Ok(())
    }

    /// Adds a write of a group's own making.
    pub fn push(&mut self, write: TransactWriteItem) {
        self.items.push(write);
    }

    /// How many writes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if it has no write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Table {
    /// An empty transaction.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        Transaction { table: self.name.clone(), token: self.ids.uuid(), items: Vec::new() }
    }

    /// Does all of it or nothing.
    ///
    /// # Errors
    /// [`Uncommitted`].
    pub async fn commit(&self, transaction: Transaction) -> Result<(), Uncommitted> {
        let outcome = self
            .client
            .transact_write_items()
            .set_transact_items(Some(transaction.items))
            .client_request_token(transaction.token.to_string())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let Err(error) = outcome else { return Ok(()) };
        let service = error.as_service_error();
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = service {
            let failed = cancelled.cancellation_reasons().iter().enumerate();
            let failed = failed.filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"));
            let failed: Vec<usize> = failed.map(|(place, _)| place).collect();
            return Err(if failed.is_empty() { TableError::Contended.into() } else { Uncommitted::Conditions(failed) });
        }
        let in_progress = service.and_then(ProvideErrorMetadata::code) == Some("TransactionInProgressException");
        Err(if in_progress { TableError::Contended } else { refine(error) }.into())
    }
}
