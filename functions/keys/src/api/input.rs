//! What several operations take: a provider, a credential, limits.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::http::{FieldProblem, Fields, line};

use crate::model::{Period, SpendAction, SpendLimit};
use crate::providers::Entry;
use crate::providers::Secrets;

pub(super) const PROVIDER: &str = "a provider's name: 1 to 64 lower-case letters, digits, _ and -";
const LIMIT: &str = "a whole number from 1, or null for none";
const AMOUNT: &str = "a number from 0.000001, or null for none";
/// The least amount of money that is told from none: far smaller numbers are not in the table's range.
const LEAST_AMOUNT: f64 = 0.000_001;
const LONGEST_SECRET: usize = 8_192;
const MOST: u64 = 1_000_000_000_000;

/// A provider's name.
pub(super) fn provider(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    fits.then(|| text.to_owned())
}

/// `provider_name` of a body.
pub(super) fn provider_name(fields: &mut Fields) -> Option<String> {
    fields.required("provider_name", PROVIDER, |value| provider(value.as_str()?))
}

/// `credentials` of a body, whole. Nothing that is said of them repeats them.
pub(super) fn credentials(fields: &mut Fields, entry: &Entry) -> Option<Secrets> {
    let given: Map<String, Value> = fields.required("credentials", "an object of texts", |value| match value {
        Value::Object(given) => Some(given),
        _ => None,
    })?;
    let mut parts = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, value) in given {
        if !entry.fields.iter().any(|field| field.name == name) {
            let known: Vec<&str> = entry.fields.iter().map(|field| field.name).collect();
            let message = format!("is not a part of this credential; its parts are {}", known.join(", "));
            problems.push(FieldProblem::new(format!("credentials.{name}"), "unknown", message));
            continue;
        }
        match line(value, LONGEST_SECRET) {
            Some(text) => drop(parts.insert(name, SecretString::from(text))),
            None => {
                let message = format!("must be text of 1 to {LONGEST_SECRET} characters in one line");
                problems.push(FieldProblem::new(format!("credentials.{name}"), "value", message));
            }
        }
    }
    for field in entry.fields.iter().filter(|field| field.required) {
        let place = format!("credentials.{}", field.name);
        if !parts.contains_key(field.name) && !problems.iter().any(|problem| problem.field == place) {
            problems.push(FieldProblem::new(place, "required", format!("is missing: {}", field.help)));
        }
    }
    let complete = problems.is_empty();
    fields.problems(problems);
    complete.then_some(Secrets(parts))
}

/// Describes a body that says a key's settings: fields of its own, and those that [`Settings::read`] takes.
macro_rules! body_with_settings {
    ($(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "describes the body, which is read field by field")]
        struct $name {
            $($own)*
            /// What its owner calls the key.
            #[schema(min_length = 1, max_length = 200)]
            key_label: Option<String>,
            /// False takes the key out of selection.
            #[schema(nullable = false)]
            is_active: Option<bool>,
            /// A primary key is chosen first; a new one takes the place of the provider's present one.
            #[schema(nullable = false)]
            is_primary: Option<bool>,
            /// The higher the sooner.
            #[schema(nullable = false, maximum = 9999)]
            priority: Option<u16>,
            /// The most uses a day, in UTC; null for no limit.
            #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
            daily_limit: Option<u64>,
            /// The most uses a minute; null for no limit.
            #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
            minute_limit: Option<u64>,
            /// The most that may be spent in a period; null for no limit.
            #[schema(minimum = 0.000001, maximum = 1_000_000_000_000_u64)]
            spend_limit_amount: Option<f64>,
            /// Over which time spend is counted.
            #[schema(nullable = false)]
            spend_limit_period: Option<crate::model::Period>,
            /// What happens once the limit is crossed.
            #[schema(nullable = false)]
            spend_limit_action: Option<crate::model::SpendAction>,
        }
    };
}
pub(super) use body_with_settings;

/// What a body says of a key's settings; `None` where it says nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) label: Option<Option<String>>,
    pub(super) is_active: Option<bool>,
    pub(super) is_primary: Option<bool>,
    pub(super) priority: Option<u16>,
    pub(super) daily_limit: Option<Option<u64>>,
    pub(super) minute_limit: Option<Option<u64>>,
    amount: Option<Option<f64>>,
    period: Option<Period>,
    action: Option<SpendAction>,
}

impl Settings {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let flag = |value: Value| value.as_bool();
        let limit = |value: Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().filter(|limit| (1..=MOST).contains(limit)).map(Some),
        };
        let settings = Self {
            label: fields.optional("key_label", "text of 1 to 200 characters, or null", |value| match value {
                Value::Null => Some(None),
                value => line(value, 200).map(Some),
            }),
            is_active: fields.optional("is_active", "true or false", flag),
            is_primary: fields.optional("is_primary", "true or false", flag),
            priority: fields.optional("priority", "a whole number from 0 to 9999", |value| {
                let priority = u16::try_from(value.as_u64()?).ok()?;
                (priority <= crate::model::Key::LARGEST_PRIORITY).then_some(priority)
            }),
            daily_limit: fields.optional("daily_limit", LIMIT, limit),
            minute_limit: fields.optional("minute_limit", LIMIT, limit),
            amount: fields.optional("spend_limit_amount", AMOUNT, |value| match value {
                Value::Null => Some(None),
                value => value.as_f64().filter(|amount| (LEAST_AMOUNT..=1e12).contains(amount)).map(Some),
            }),
            period: fields.optional("spend_limit_period", "daily or monthly", |value| Period::named(value.as_str()?)),
            action: fields.optional("spend_limit_action", "warn or block", |value| SpendAction::named(value.as_str()?)),
        };
        if settings.amount == Some(None) && (settings.period.is_some() || settings.action.is_some()) {
            fields.problem("spend_limit_amount", "value", "is null, so there is no period and no action to set");
        }
        settings
    }

    /// True if it says something of the spend limit.
    pub(super) fn limits_spend(&self) -> bool {
        self.amount.is_some() || self.period.is_some() || self.action.is_some()
    }

    /// The spend limit after this; by the month and with a warning unless said otherwise.
    ///
    /// # Errors
    /// What is missing, where there is no amount that a period or an action could belong to.
    pub(super) fn spend_limit(&self, before: Option<SpendLimit>) -> Result<Option<SpendLimit>, FieldProblem> {
        let amount = match self.amount {
            Some(None) => return Ok(None),
            Some(Some(amount)) => Some(amount),
            None => before.map(|before| before.amount),
        };
        let Some(amount) = amount else {
            if self.period.is_some() || self.action.is_some() {
                return Err(FieldProblem::new("spend_limit_amount", "required", format!("is missing: {AMOUNT}")));
            }
            return Ok(None);
        };
        let period = self.period.or(before.map(|before| before.period)).unwrap_or(Period::Monthly);
        let action = self.action.or(before.map(|before| before.action)).unwrap_or(SpendAction::Warn);
        Ok(Some(SpendLimit { amount, period, action }))
    }
}
