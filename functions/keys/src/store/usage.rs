//! Counting uses: never over a limit, each use once, whatever the concurrency and whatever answers get lost.
//!
//! # Theory of operation
//! A key's live usage is one item: the minute of the last use, the uses in that minute, the uses in that minute's day. A
//! use is one conditional UpdateItem that checks every limit and counts, in one of three forms:
//!
//! | the item's minute is | the update |
//! |---|---|
//! | the present one | adds to both counts if both are under their limits |
//! | an earlier one of today | starts the minute's count, adds to the day's if that is under its limit |
//! | of an earlier day | starts both; requires the counts that were read, because those become the day's record first |
//!
//! A failed condition gives the item as it is, from which the next form follows, or that the key is at a limit. An
//! instance whose clock is behind counts in the item's later minute.
//!
//! **Once.** The SDK's own retries are off for this call, since a repeated ADD counts twice. Each update instead leaves
//! its lease's nonce in a set, and requires that it is not there yet: repeating an update whose answer was lost either
//! counts, or fails and shows the nonce, which means that it had counted. The sets are four, one for each slot of four
//! seconds in turn; an update clears the two that are next, so that the item stays small, and every attempt at one use
//! works on the slot in which it began, which stays for four seconds at the least: longer than we try. A request that goes
//! on with what another one began, under its nonce, looks into the slot before its own too.
//!
//! **How often.** DynamoDB takes about a thousand units of writes a second to one item, and an update costs a unit for each
//! KiB of it. The nonces of four to eight seconds are in it, eight bytes each: so about 140 uses a second of one key. Where
//! it takes no more, the key is passed over as one that is busy, and the pool's next is tried.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::egress::aws;
use shared::table::keys::{self as places, pool};
use shared::table::{Record, Stored, TableError, refine};
use tokio::time::Instant;

use super::{Keys, Live, number, whole};
use crate::GROUP;
use crate::model::{Key, KeyId, Usage, day_of_minute, first_minute_of_day, objection};

/// What is read of a usage item: the nonces are of no use to a reader.
pub(super) const PROJECTION: &str = "pk, at_minute, minute_count, day_count, last_used_at, generation";
/// The sets of nonces, all of them.
const NONCES: &str = "r0, r1, r2, r3";
/// How long a day's record is kept.
pub(super) const HISTORY: SignedDuration = SignedDuration::from_hours(400 * 24);
const SLOT_SECONDS: i64 = 4;
const SLOTS: i64 = 4;
/// Three attempts of a second each end within the slot's life.
const UNANSWERED_TRIES: u32 = 3;
const ATTEMPT: Duration = Duration::from_millis(1_100);
/// No attempt begins later than this after the first, so that each arrives while the slot lives.
const LAST_ATTEMPT: Duration = Duration::from_millis(2_800);
/// Each failed condition means that others went on, so this ends.
const TRIES: u32 = 64;
/// DynamoDB's names for: there is too much to do just now, so nothing was done.
const THROTTLED: [&str; 3] = ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"];

fn is_throttling(error: &TableError) -> bool {
    matches!(error, TableError::Refused { code, .. } if THROTTLED.contains(&code.as_str()))
}

fn is_unmet(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// The usage item of a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fresh {
    id: KeyId,
    at_minute: i64,
    minute_count: u64,
    day_count: u64,
}

impl Fresh {
    pub(super) fn of(id: KeyId) -> Self {
        Self { id, at_minute: 0, minute_count: 0, day_count: 0 }
    }
}

impl Record for Fresh {}

type Item = HashMap<String, AttributeValue>;

/// The key that a usage item belongs to.
pub(super) fn id_of(item: &Item) -> Option<KeyId> {
    KeyId::parse_sort(item.get("pk")?.as_s().ok()?.rsplit_once('#')?.1)
}

/// A usage item's counts.
pub(super) fn of(item: &Item) -> Usage {
    let last_used_at = whole(item, "last_used_at").and_then(|at| Timestamp::from_millisecond(at).ok());
    Usage {
        minute: whole(item, "at_minute").unwrap_or_default(),
        minute_count: whole(item, "minute_count").unwrap_or_default(),
        day_count: whole(item, "day_count").unwrap_or_default(),
        last_used_at,
    }
}

/// A provider's keys as they are now, with their live usage.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The keys.
    pub keys: Arc<Vec<Key>>,
    /// The usage of those that have been used.
    pub usage: HashMap<KeyId, Usage>,
}

/// What an attempt to count a use came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It was counted; the usage with it.
    Granted(Usage),
    /// The key is at a limit; the usage that says so.
    Refused(Usage),
    /// DynamoDB takes no more writes to this key just now; nothing was counted.
    Busy,
    /// The key has been deleted.
    Gone,
}

/// One attempt's answer.
enum Attempt {
    /// With the counts as they are then.
    Counted(Item),
    Condition(Option<Item>),
    Unanswered(TableError),
}

impl Keys {
    /// A provider's keys and their live usage: one BatchGetItem over the keys that are remembered; where one has changed
    /// since, a Query over the keys, and another BatchGetItem if there is a new one.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn pool(&self, tenant: &Tenant, provider: &str) -> Result<Pool, TableError> {
        let name = (tenant.clone(), provider.to_owned());
        let (known, keys) = self.remembered.get(&name).unzip();
        let keys = keys.unwrap_or_default();
        let Live { mut usage, generation } = self.live(tenant, &keys, Some(provider)).await?;
        if known == Some(generation) {
            return Ok(Pool { keys, usage });
        }
        let partition = places::integrations(tenant, GROUP);
        // One key that cannot be read does not keep the others from being used.
        let all = self.table.for_lists(GROUP).all::<Key>(&partition, places::INTEGRATION).await?;
        let keys = all.into_iter().map(|Stored { record, .. }| record).filter(|key| key.provider == provider);
        let keys = Arc::new(keys.collect::<Vec<_>>());
        // What was read may be newer than the generation, never older; then the next look reads once more.
        self.remembered.insert(name, (generation, Arc::clone(&keys)));
        let new: Vec<Key> = keys.iter().filter(|key| !usage.contains_key(&key.id)).cloned().collect();
        usage.extend(self.live(tenant, &new, None).await?.usage);
        Ok(Pool { keys, usage })
    }

    /// Counts one use of a key, named by `nonce`, if it is under its limits. `seen` is its usage as last known.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer, again and again; the use may have been counted.
    pub async fn count(&self, tenant: &Tenant, key: &Key, seen: Usage, nonce: &[u8]) -> Result<Counted, TableError> {
        let mut usage = seen;
        let mut unanswered = 0;
        let mut began = self.began();
        // True once an attempt may have counted although it was not answered.
        let mut doubtful = false;
        for _ in 0..TRIES {
            // Every attempt that may be a second one works on the slot of the first; any other on the present one.
            if !doubtful {
                began = self.began();
            }
            if objection(key, &usage, began.at).is_some() {
                return Ok(Counted::Refused(usage));
            }
            let mut next = Use::of(key, usage, nonce, began.at);
            if next.starts_day {
                self.keep_day(tenant, key.id, &usage).await?;
                if !doubtful {
                    began = self.began();
                    next = Use::of(key, usage, nonce, began.at);
                }
            }
            match self.attempt(tenant, key, &next).await {
                Attempt::Counted(item) => return Ok(Counted::Granted(next.after(&item))),
                Attempt::Condition(None) => return Ok(Counted::Gone),
                Attempt::Condition(Some(item)) => {
                    usage = of(&item);
                    if next.was_counted(&item) {
                        return Ok(Counted::Granted(usage));
                    }
                }
                Attempt::Unanswered(error) => {
                    unanswered += 1;
                    doubtful |= !(error.nothing_written() || is_throttling(&error));
                    if unanswered == UNANSWERED_TRIES || began.since.elapsed() > LAST_ATTEMPT {
                        return if doubtful { Err(error) } else { Ok(Counted::Busy) };
                    }
                    self.table.pause(unanswered).await;
                }
            }
        }
        Err(TableError::Contended)
    }

    fn began(&self) -> Began {
        Began { at: self.ids.now(), since: Instant::now() }
    }

    /// True if a use of this name was counted a moment ago. Its nonce stays for four seconds at the least, and from then on
    /// until the key's next use.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn was_counted(&self, tenant: &Tenant, id: KeyId, nonce: &[u8]) -> Result<bool, TableError> {
        let get = self.table.client().get_item().table_name(self.table.name());
        let get = get.set_key(Some(pool::usage(tenant, &id.sort()).attributes())).consistent_read(true);
        let get = get.projection_expression(NONCES).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let item = get.send().await.map_err(refine)?.item.unwrap_or_default();
        let nonce = Blob::new(nonce);
        Ok(item.values().filter_map(|nonces| nonces.as_bs().ok()).any(|nonces| nonces.contains(&nonce)))
    }

    /// Writes a finished day's uses into its record, unless more are written there. The update that starts the next day
    /// requires the counts that were read, so the most that was ever written is right, in whatever order it arrives.
    async fn keep_day(&self, tenant: &Tenant, id: KeyId, usage: &Usage) -> Result<(), TableError> {
        if usage.day_count == 0 {
            return Ok(());
        }
        let day = day_of_minute(usage.minute);
        let expires_at = Timestamp::from_second(usage.minute.saturating_mul(60)).unwrap_or_default();
        let expires_at = expires_at.saturating_add(HISTORY).unwrap_or(expires_at);
        let written = self
            .table
            .client()
            .update_item()
            .table_name(self.table.name())
            .set_key(Some(pool::day(tenant, &id.sort(), &day).attributes()))
            .update_expression("SET #requests = :requests, expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#requests) OR #requests < :requests")
            .expression_attribute_names("#requests", "requests")
            .expression_attribute_values(":requests", AttributeValue::N(usage.day_count.to_string()))
            .expression_attribute_values(":expires_at", number(expires_at.as_second()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match written {
            Err(error) if !is_unmet(&error) => Err(refine(error)),
            _ => Ok(()),
        }
    }

    /// The SDK must not repeat a count by itself: only the repetition that looks for its own nonce counts once.
    fn counting_client(&self) -> &Client {
        self.counting.get_or_init(|| {
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
            let config = self.table.client().config().to_builder();
            let retry = RetryConfig::disabled().with_reconnect_mode(aws::RECONNECT);
            Client::from_conf(config.retry_config(retry).timeout_config(timeouts).build())
        })
    }

    async fn attempt(&self, tenant: &Tenant, key: &Key, next: &Use) -> Attempt {
        let outcome = self
            .counting_client()
            .update_item()
            .table_name(self.table.name())
            .set_key(Some(pool::usage(tenant, &key.id.sort()).attributes()))
            .update_expression(&next.update)
            .condition_expression(&next.condition)
            .set_expression_attribute_values(Some(next.values.clone()))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match outcome {
            Ok(counted) => Attempt::Counted(counted.attributes.unwrap_or_default()),
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), UpdateItemError::ConditionalCheckFailedException(_)) =>
            {
                match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => Attempt::Condition(failed.item),
                    _ => Attempt::Condition(None),
                }
            }
            Err(error) => Attempt::Unanswered(refine(error)),
        }
    }
}

/// When the attempts at a use began: what names their slot, and how long ago that is.
struct Began {
    at: Timestamp,
    since: Instant,
}

/// One use, as it is written.
struct Use {
    update: String,
    condition: String,
    values: Item,
    /// The usage with it, as far as what was read of it is still so.
    expected: Usage,
    /// True if it is the first of a day.
    starts_day: bool,
    slots: [String; 2],
    nonce: Blob,
}

impl Use {
    fn of(key: &Key, seen: Usage, nonce: &[u8], now: Timestamp) -> Self {
        let minute = seen.minute_at(now);
        let same_minute = minute == seen.minute;
        let same_day = first_minute_of_day(minute) <= seen.minute;
        let slot_number = now.as_second().div_euclid(SLOT_SECONDS);
        let slot = |ahead: i64| format!("r{}", slot_number.saturating_add(ahead).rem_euclid(SLOTS));
        let (present, next, second_next, before) = (slot(0), slot(1), slot(2), slot(3));

        let nonce = Blob::new(nonce);
        let mut values = HashMap::from([
            (":one".to_owned(), number(1)),
            (":now".to_owned(), number(now.as_millisecond())),
            (":minute".to_owned(), number(minute)),
            (":nonce".to_owned(), AttributeValue::B(nonce.clone())),
            (":nonces".to_owned(), AttributeValue::Bs(vec![nonce.clone()])),
        ]);
        // In the slot before too: a request may go on with what one that died has begun, under its nonce.
        let mut conditions = vec![format!("NOT contains({present}, :nonce) AND NOT contains({before}, :nonce)")];
        let below = |name: &str, limit: Option<u64>, conditions: &mut Vec<String>, values: &mut Item| {
            if let Some(limit) = limit {
                conditions.push(format!("{name} < :{name}"));
                values.insert(format!(":{name}"), AttributeValue::N(limit.to_string()));
            }
        };
        let update = if same_minute {
            conditions.push("at_minute = :minute".into());
            below("minute_count", key.minute_limit, &mut conditions, &mut values);
            below("day_count", key.daily_limit, &mut conditions, &mut values);
            format!(
                "SET last_used_at = :now ADD minute_count :one, day_count :one, {present} :nonces REMOVE {next}, {second_next}"
            )
        } else {
            // In a minute's first slot the slot before may hold uses of the minute before; later it is a round old.
            let first_of_minute = now.as_second().rem_euclid(60) < SLOT_SECONDS;
            let old = if first_of_minute { String::new() } else { format!(", {before}") };
            let start =
                format!("SET last_used_at = :now, at_minute = :minute, minute_count = :one, {present} = :nonces");
            if same_day {
                conditions.push("at_minute < :minute AND at_minute >= :today".into());
                values.insert(":today".into(), number(first_minute_of_day(minute)));
                below("day_count", key.daily_limit, &mut conditions, &mut values);
                format!("{start} ADD day_count :one REMOVE {next}, {second_next}{old}")
            } else {
                conditions.push("at_minute = :seen_minute AND day_count = :seen_count".into());
                values.insert(":seen_minute".into(), number(seen.minute));
                values.insert(":seen_count".into(), AttributeValue::N(seen.day_count.to_string()));
                format!("{start}, day_count = :one REMOVE {next}, {second_next}{old}")
            }
        };
        let expected = Usage {
            minute,
            minute_count: if same_minute { seen.minute_count.saturating_add(1) } else { 1 },
            day_count: if same_day { seen.day_count.saturating_add(1) } else { 1 },
            last_used_at: Some(now),
        };
        Self {
            update,
            condition: conditions.join(" AND "),
            values,
            expected,
            starts_day: !same_day,
            slots: [present, before],
            nonce,
        }
    }

    /// The usage with it: others may have been counted since it was read.
    fn after(&self, item: &Item) -> Usage {
        let count = |name: &str, expected: u64| whole(item, name).unwrap_or(expected);
        Usage {
            minute_count: count("minute_count", self.expected.minute_count),
            day_count: count("day_count", self.expected.day_count),
            ..self.expected
        }
    }

    /// True if an item shows that this use had been counted.
    fn was_counted(&self, item: &Item) -> bool {
        let mut nonces = self.slots.iter().filter_map(|slot| item.get(slot)?.as_bs().ok());
        nonces.any(|nonces| nonces.contains(&self.nonce))
    }
}
