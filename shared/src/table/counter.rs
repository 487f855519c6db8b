//! Counters that many processes add to.

use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue};
use jiff::Timestamp;

use super::{Key, Table, TableError, refine};

impl Table {
    /// Adds `by` to the number `count` of an item that DynamoDB may remove at `expires_at`; gives the sum. The item is
    /// created if it is not there.
    ///
    /// It is tried once: a repetition could count twice.
    ///
    /// # Errors
    /// Whatever keeps DynamoDB from answering. It may have been added then.
    pub async fn add_once(&self, key: &Key, by: u64, expires_at: Timestamp) -> Result<u64, TableError> {
        let output = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .update_expression("ADD #count :by SET expires_at = :expires_at")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":by", AttributeValue::N(by.to_string()))
            .expression_attribute_values(":expires_at", AttributeValue::N(expires_at.as_second().to_string()))
            .return_values(ReturnValue::UpdatedNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .customize()
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(refine)?;
        let attributes = output.attributes.unwrap_or_default();
        let count = attributes.get("count").and_then(|count| count.as_n().ok()).and_then(|count| count.parse().ok());
        count.ok_or_else(|| TableError::Unavailable("the answer has no count".into()))
    }
}
