//! Several writes, all or none.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};
use uuid::Uuid;

use super::{Key, Record, Table, TableError, UPDATE_TRIES, item, refine};

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
    /// DynamoDB takes so many writes at a time.
    pub const MOST: usize = 100;

    /// Adds the creation of `record`, which must not exist.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn create<R: Record>(&mut self, key: &Key, record: &R) -> Result<(), TableError> {
        let put = Put::builder()
            .set_item(Some(item(key, record, 1, self.token)?))
            .condition_expression("attribute_not_exists(pk)");
        self.push_put(put)
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
        self.push_put(put)
    }

    /// Adds the writing of `record` over whatever is there, or nothing.
    ///
    /// # Errors
    /// [`TableError::Malformed`] if the record cannot be written as an item.
    pub fn put<R: Record>(&mut self, key: &Key, record: &R) -> Result<(), TableError> {
        let put = Put::builder().set_item(Some(item(key, record, 1, self.token)?));
        self.push_put(put)
    }

    /// Adds adding `by` to a number of an item, which is created with it if it is not there.
    ///
    /// # Errors
    /// None that a caller can bring about.
    pub fn add(&mut self, key: &Key, attribute: &str, by: i64) -> Result<(), TableError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression("ADD #number :by")
            .expression_attribute_names("#number", attribute)
            .expression_attribute_values(":by", AttributeValue::N(by.to_string()))
            .build()
            .map_err(|error| TableError::Unavailable(Box::new(error)))?;
        self.items.push(TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    fn push_put(&mut self, put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<(), TableError> {
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

    /// Does all of it or nothing, again while other transactions are in the way.
    ///
    /// # Errors
    /// [`Uncommitted`].
    pub async fn commit(&self, transaction: Transaction) -> Result<(), Uncommitted> {
        for attempt in 0..UPDATE_TRIES {
            let write = self.client.transact_write_items().set_transact_items(Some(transaction.items.clone()));
            let write = write.client_request_token(transaction.token.to_string());
            let outcome = write.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
            let Err(error) = outcome else { return Ok(()) };
            match Refusal::of(&error) {
                Refusal::Conditions(places) => return Err(Uncommitted::Conditions(places)),
                Refusal::Busy => self.pause(attempt).await,
                Refusal::Reason(code) => {
                    return Err(TableError::Refused { code, source: Box::new(error) }.into());
                }
                Refusal::Other => return Err(refine(error).into()),
            }
        }
        Err(TableError::Contended.into())
    }
}

/// Why DynamoDB did not do it.
enum Refusal {
    /// The conditions of the writes at these places did not hold.
    Conditions(Vec<usize>),
    /// Another transaction is under way, or there is too much to do just now.
    Busy,
    /// One of the writes cannot be, by DynamoDB's name for the reason.
    Reason(String),
    /// Nothing that is special to transactions.
    Other,
}

impl Refusal {
    fn of<R>(error: &SdkError<TransactWriteItemsError, R>) -> Self {
        const PASSING: &[&str] = &[
            "None",
            "TransactionConflict",
            "ThrottlingError",
            "ProvisionedThroughputExceeded",
            "RequestLimitExceeded",
        ];
        let service = error.as_service_error();
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = service else {
            let code = service.and_then(ProvideErrorMetadata::code);
            return if code == Some("TransactionInProgressException") { Self::Busy } else { Self::Other };
        };
        let codes = || cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None"));
        let unmet = codes().enumerate().filter(|(_, code)| *code == "ConditionalCheckFailed");
        let unmet: Vec<usize> = unmet.map(|(place, _)| place).collect();
        if !unmet.is_empty() {
            return Self::Conditions(unmet);
        }
        codes().find(|code| !PASSING.contains(code)).map_or(Self::Busy, |code| Self::Reason(code.to_owned()))
    }
}
