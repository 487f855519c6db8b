//! The table's stream: read from the embedded DynamoDB in process, filtered as Lambda's event source mappings filter, and
//! handed to the functions that take it.

use dynoxide::Database;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use serde_json::{Value, json};

use crate::template::{FunctionDefinition, Stream};

/// A reader of a table's stream, which begins with what is written after it was made.
#[derive(Clone)]
pub struct TableStream {
    database: Database,
    iterator: String,
}

impl std::fmt::Debug for TableStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableStream").finish_non_exhaustive()
    }
}

impl TableStream {
    /// A reader of this table's stream.
    ///
    /// # Errors
    /// What the embedded DynamoDB says, in its words: above all that the table has no stream.
    pub fn latest(database: &Database, table: &str) -> Result<Self, String> {
        let request = GetShardIteratorRequest {
            stream_arn: dynoxide::streams::stream_arn(table, "local"),
            shard_id: dynoxide::streams::shard_id(table),
            shard_iterator_type: "LATEST".into(),
            sequence_number: None,
        };
        let iterator = database.get_shard_iterator(request).map_err(|error| error.to_string())?.shard_iterator;
        Ok(Self { database: database.clone(), iterator: iterator.ok_or("the stream has no beginning")? })
    }

    /// What was written since the last reading, as Lambda sends it. Blocks while SQLite works.
    ///
    /// # Errors
    /// What the embedded DynamoDB says, in its words.
    pub fn read(&mut self) -> Result<Vec<Value>, String> {
        let request = GetRecordsRequest { shard_iterator: self.iterator.clone(), limit: None };
        let answer = self.database.get_records(request).map_err(|error| error.to_string())?;
        if let Some(next) = answer.next_shard_iterator {
            self.iterator = next;
        }
        let records = answer.records.iter().map(serde_json::to_value);
        records.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

/// The events that a function is sent of these records.
#[must_use]
pub fn events_for(function: &FunctionDefinition, records: &[Value]) -> Vec<Value> {
    let events_of = |stream: &Stream| -> Vec<Value> {
        let taken = |record: &&Value| {
            stream.patterns.is_empty() || stream.patterns.iter().any(|pattern| matches(pattern, record))
        };
        let taken: Vec<&Value> = records.iter().filter(taken).collect();
        taken.chunks(stream.batch.max(1)).map(|batch| json!({ "Records": batch })).collect()
    };
    function.streams.iter().flat_map(events_of).collect()
}

/// True if a record matches an event pattern: every name of the pattern is there, and every list of the pattern has the
/// value, or a `{"prefix": …}` that it begins with. Other operators are not known here and match nothing.
fn matches(pattern: &Value, value: &Value) -> bool {
    match pattern {
        Value::Object(fields) => {
            fields.iter().all(|(name, pattern)| value.get(name).is_some_and(|value| matches(pattern, value)))
        }
        Value::Array(choices) => choices.iter().any(|choice| match choice.get("prefix").and_then(Value::as_str) {
            Some(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            None => choice == value,
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn the_deployed_filter_takes_what_turns_queued_and_nothing_else() {
        let functions = Template::embedded().unwrap().functions().unwrap();
        let record = |event: &str, queue: &str, status: &str| {
            let image = json!({ "due_queue": { "S": queue }, "status": { "S": status } });
            json!({ "eventName": event, "dynamodb": { "NewImage": image } })
        };
        let records = [
            record("INSERT", "wallets-sync#0", "QUEUED"),
            record("MODIFY", "wallets-sync#3", "QUEUED"),
            record("MODIFY", "wallets-sync#3", "ONGOING"),
            record("MODIFY", "services-check#1", "QUEUED"),
            record("REMOVE", "wallets-sync#3", "QUEUED"),
            json!({ "eventName": "INSERT", "dynamodb": { "NewImage": {} } }),
        ];
        let events = events_for(&functions["wallets-sync"], &records);
        assert_eq!(events, [json!({ "Records": records[..2] })]);
        assert!(events_for(&functions["wallets-api"], &records).is_empty());
    }
}
