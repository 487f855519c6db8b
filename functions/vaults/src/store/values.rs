//! Names and values of an environment: how they are checked, spread over secrets, written down, and shown to a caller who
//! may see them.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::credentials::{CredentialError, LARGEST, disclose};

/// The longest name.
const LONGEST_NAME: usize = 256;
/// The largest value, in bytes.
pub const LARGEST_VALUE: usize = 24 * 1024;
/// An environment is spread over so many secrets at most.
pub const MOST_PARTS: usize = 32;
/// Shorter values are not struck out of messages: too many words would go with them.
const STRUCK_FROM: usize = 6;

/// The values of an environment, by name. Only the names are printed.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, SecretString>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.0.keys()).finish()
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|(name, value)| other.has(name, value))
    }
}

impl FromIterator<(String, SecretString)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What is wrong with a name, if anything. Says what is accepted.
#[must_use]
pub fn objection_to_name(name: &str) -> Option<String> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let fits = starts && goes_on && name.len() <= LONGEST_NAME;
    (!fits)
        .then(|| format!("is not a name: a letter or _, then letters, digits and _; at most {LONGEST_NAME} characters"))
}

/// What is wrong with a value, if anything. Says what is accepted; never the value.
#[must_use]
pub fn objection_to_value(value: &SecretString) -> Option<String> {
    let text = disclose(value);
    if text.len() > LARGEST_VALUE {
        return Some(format!("is larger than {LARGEST_VALUE} bytes"));
    }
    let unusual = text.bytes().any(|byte| byte < b' ' && !b"\t\n\r".contains(&byte));
    unusual.then(|| "holds control characters; only tabs and line breaks are taken".to_owned())
}

/// How many bytes a value has.
#[must_use]
pub fn size(value: &SecretString) -> usize {
    disclose(value).len()
}

/// A message without the value, should a platform have repeated it.
#[must_use]
pub fn without(message: &str, value: &SecretString) -> String {
    let text = disclose(value);
    if text.len() >= STRUCK_FROM { message.replace(text, "***") } else { message.to_owned() }
}

/// The number of a part: what its name begins with. Parts that were moved have more behind a point.
#[must_use]
pub fn number_of(part: &str) -> &str {
    part.split_once('.').map_or(part, |(number, _)| number)
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &SecretString)> {
        self.0.iter()
    }

    fn has(&self, name: &str, value: &SecretString) -> bool {
        self.0.get(name).is_some_and(|there| disclose(there) == disclose(value))
    }

    /// The same with these changes: a value is set, nothing takes a name away.
    #[must_use]
    pub fn merged(mut self, changes: &BTreeMap<String, Option<SecretString>>) -> Self {
        for (name, value) in changes {
            match value {
                Some(value) => self.0.insert(name.clone(), value.clone()),
                None => self.0.remove(name),
            };
        }
        self
    }

    /// As a caller who may see them is shown them.
    #[must_use]
    pub fn shown(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, value)| (name.clone(), Value::from(disclose(value)))).collect()
    }

    /// As a secret's document.
    #[must_use]
    pub fn document(&self) -> SecretString {
        SecretString::from(Value::Object(self.shown()).to_string())
    }

    /// Reads a secret's document.
    ///
    /// # Errors
    /// [`CredentialError::Malformed`] if it is not one of an environment.
    pub fn of_document(document: &SecretString) -> Result<Self, CredentialError> {
        let read: Result<BTreeMap<String, String>, _> = serde_json::from_str(disclose(document));
        let read = read.map_err(|_| CredentialError::Malformed("an environment's part has another form"))?;
        Ok(read.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect())
    }

    /// How many bytes an entry takes in a document.
    fn size(name: &str, value: &SecretString) -> usize {
        let written = |text: &str| Value::from(text).to_string().len();
        written(name) + written(disclose(value)) + 2
    }

    /// Spreads the values over parts, each small enough for a secret. A name stays in the part that it was in `before` for as
    /// long as it fits, so that a change touches few of them. `None` if there are too many parts.
    #[must_use]
    pub fn spread(self, before: &BTreeMap<String, Self>) -> Option<BTreeMap<String, Self>> {
        let home = |name: &str| {
            before
                .iter()
                .find(|(_, values)| values.0.contains_key(name))
                .and_then(|(part, _)| number_of(part).parse().ok())
        };
        let known = |number: usize| before.keys().find(|part| number_of(part).parse() == Ok(number)).cloned();
        // The braces take two bytes.
        let mut parts: BTreeMap<usize, (usize, Self)> = BTreeMap::new();
        let mut homeless = Vec::new();
        for (name, value) in self.0 {
            let size = Self::size(&name, &value);
            let stays = home(&name).map(|part| parts.entry(part).or_insert_with(|| (2, Self::default())));
            match stays {
                Some((taken, values)) if *taken + size <= LARGEST => {
                    *taken += size;
                    values.0.insert(name, value);
                }
                _ => homeless.push((size, name, value)),
            }
        }
        for (size, name, value) in homeless {
            let roomy = parts.iter().find(|(_, (taken, _))| taken + size <= LARGEST).map(|(part, _)| *part);
            let part = roomy.or_else(|| (0..MOST_PARTS).find(|part| !parts.contains_key(part)))?;
            let (taken, values) = parts.entry(part).or_insert_with(|| (2, Self::default()));
            *taken += size;
            values.0.insert(name, value);
        }
        let parts = parts.into_iter().filter(|(_, (_, values))| !values.is_empty());
        let name = |number: usize| known(number).unwrap_or_else(|| number.to_string());
        Some(parts.map(|(number, (_, values))| (name(number), values)).collect())
    }

    /// The values of all parts together.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        Self(parts.into_iter().flat_map(|part| part.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn values(entries: &BTreeMap<String, String>) -> Values {
        entries.iter().map(|(name, value)| (name.clone(), SecretString::from(value.clone()))).collect()
    }

    /// Values of up to the largest size, so that a few of them fill a part; line breaks take two bytes in a document.
    fn entries() -> impl Strategy<Value = BTreeMap<String, String>> {
        let value = (0_usize..=LARGEST_VALUE, prop::bool::ANY)
            .prop_map(|(length, breaks)| if breaks { "\n" } else { "x" }.repeat(length));
        btree_map("[A-Z][A-Z0-9_]{0,8}", value, 0..24)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn what_is_spread_is_whole_and_every_part_fits(first in entries(), second in entries()) {
            let before = values(&first).spread(&BTreeMap::new()).unwrap();
            let after = values(&second).spread(&before).unwrap();
            for (all, parts) in [(&first, before), (&second, after)] {
                for part in parts.values() {
                    prop_assert!(!part.is_empty() && disclose(&part.document()).len() <= LARGEST);
                    prop_assert!(Values::of_document(&part.document()).unwrap() == *part);
                }
                prop_assert!(Values::joined(parts.into_values()) == values(all));
            }
        }

        #[test]
        fn a_change_of_one_name_leaves_the_other_parts_alone(entries in entries(), value in "[a-z]{0,40}") {
            let before = values(&entries).spread(&BTreeMap::new()).unwrap();
            let changes = BTreeMap::from([("NEW".to_owned(), Some(SecretString::from(value)))]);
            let after = values(&entries).merged(&changes).spread(&before).unwrap();
            let changed = after.iter().filter(|(part, values)| before.get(*part) != Some(values)).count();
            prop_assert!(changed <= 1);
        }
    }

    #[test]
    fn a_part_that_was_moved_keeps_its_number() {
        let large = "x".repeat(LARGEST_VALUE);
        let all = ["A", "B", "C", "D"].map(|name| (name.to_owned(), large.clone())).into();
        let parts = values(&all).spread(&BTreeMap::new()).unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["0", "1"]);
        let moved = parts.into_iter().map(|(part, values)| (if part == "1" { "1.ab".into() } else { part }, values));
        let moved: BTreeMap<String, Values> = moved.collect();
        let again = values(&all).spread(&moved).unwrap();
        assert!(again == moved);
    }

    #[test]
    fn names_and_values_are_checked() {
        for name in ["A", "_", "a1", "DATABASE_URL", &"A".repeat(256)] {
            assert_eq!(objection_to_name(name), None, "{name}");
        }
        for name in ["", "1A", "A-B", "A B", "É", "A.B", &"A".repeat(257)] {
            assert!(objection_to_name(name).is_some(), "{name}");
        }
        assert_eq!(objection_to_value(&SecretString::from("a\tb\r\nc ü")), None);
        assert!(objection_to_value(&SecretString::from("a\0b")).is_some());
        assert!(objection_to_value(&SecretString::from("x".repeat(LARGEST_VALUE + 1))).is_some());
    }

    #[test]
    fn a_value_is_struck_out_of_a_message_and_never_printed() {
        let value = SecretString::from("hunter2");
        assert_eq!(without("It said hunter2.", &value), "It said ***.");
        let values: Values = [("A".to_owned(), value)].into_iter().collect();
        assert!(!format!("{values:?}").contains("hunter2"));
    }
}
