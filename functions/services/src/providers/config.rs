//! An integration's config: parsed by its type's fields, split into a plain and a secret part.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json};
use shared::http::FieldProblem;
use url::Url;

/// What a field's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text of at most so many characters.
    Text(usize),
    /// An http or https address.
    Url,
    /// An e-mail address, bare or as `Name <address>`.
    Email,
    /// A whole number from 1; text of digits is taken too.
    Number,
    /// A chat: a whole number, kept as text, or a public name.
    ChatId,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An object of header names and values.
    Headers,
    /// Hexadecimal text of an EVM address.
    EvmAddress,
}

/// One field of a type's config.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Another key under which it is taken, and stored under its own.
    pub alias: Option<&'static str>,
    /// What a form calls it.
    pub label: &'static str,
    /// How a person finds the value.
    pub help: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// True if it must not be seen.
    pub secret: bool,
    /// True if there is no config without it.
    pub required: bool,
}

impl Field {
    /// A field that may be seen and left out.
    #[must_use]
    pub const fn plain(name: &'static str, label: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, alias: None, label, help, shape, secret: false, required: false }
    }

    /// A field that must not be seen.
    #[must_use]
    pub const fn secret(name: &'static str, label: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { secret: true, ..Self::plain(name, label, shape, help) }
    }

    /// The same field, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same field, taken under another key too.
    #[must_use]
    pub const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    fn takes(&self, key: &str) -> bool {
        self.name == key || self.alias == Some(key)
    }

    fn is_missing(&self, path: &str) -> FieldProblem {
        let place = format!("{path}.{}", self.name);
        FieldProblem::new(place, "required", format!("is missing: {}", self.shape.accepted()))
    }
}

/// Every required key that a request's config does not even name.
pub(super) fn absent(fields: &'static [Field], path: &str, given: &Map<String, Json>) -> Vec<FieldProblem> {
    let absent = fields.iter().filter(|field| field.required && !given.keys().any(|key| field.takes(key)));
    absent.map(|field| field.is_missing(path)).collect()
}

/// A value of a config.
#[derive(Clone)]
pub enum Value {
    /// One that may be seen.
    Plain(Json),
    /// One that must not; a value that is not text is kept as its JSON.
    Secret(SecretString),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => value.fmt(f),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) => one == other,
            (Self::Secret(one), Self::Secret(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

impl Value {
    fn url(&self) -> Option<Url> {
        match self {
            Self::Plain(value) => Url::parse(value.as_str()?).ok(),
            Self::Secret(secret) => Url::parse(secret.expose_secret()).ok(),
        }
    }
}

/// A complete config.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    values: BTreeMap<&'static str, Value>,
}

/// What a request wants of a config: a value for a key, or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigChange {
    changes: BTreeMap<&'static str, Option<Value>>,
}

impl ConfigChange {
    /// Reads a request's config by a type's fields. A null takes the key away; an empty text for a secret leaves it as it
    /// is (a form that does not show secrets sends them back empty). Problems are named `<path>.<key>`.
    ///
    /// # Errors
    /// Every key that is unknown and every value that does not fit.
    pub fn parse(fields: &'static [Field], path: &str, given: Map<String, Json>) -> Result<Self, Vec<FieldProblem>> {
        let mut changes = BTreeMap::new();
        let mut problems = Vec::new();
        for (key, value) in given {
            let place = format!("{path}.{key}");
            let Some(field) = fields.iter().find(|field| field.takes(&key)) else {
                let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let message = format!("is not a key of this type; the keys are {}", known.join(", "));
                problems.push(FieldProblem::new(place, "unknown", message));
                continue;
            };
            if field.secret && matches!(&value, Json::String(text) if text.trim().is_empty()) {
                continue;
            }
            let change = match value {
                Json::Null => None,
                value => match field.shape.read(value) {
                    Ok(value) if field.secret => Some(Value::Secret(SecretString::from(text_of(&value)))),
                    Ok(value) => Some(Value::Plain(value)),
                    Err(message) => {
                        problems.push(FieldProblem::new(place, "value", message));
                        continue;
                    }
                },
            };
            if changes.insert(field.name, change).is_some() {
                let message = format!("is given twice: as {} and as its alias", field.name);
                problems.push(FieldProblem::new(place, "value", message));
            }
        }
        if problems.is_empty() { Ok(Self { changes }) } else { Err(problems) }
    }

    /// An address that it sets, whether secret or not.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<Url> {
        self.changes.get(name)?.as_ref()?.url()
    }

    /// True if it sets or takes away this key.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Config {
    /// A config put together from its stored parts. Keys that the type no longer has are left out.
    ///
    /// # Errors
    /// What about the secret part cannot be read; never what it holds.
    pub fn from_parts(
        fields: &'static [Field],
        plain: &Map<String, Json>,
        secret: Option<&SecretString>,
    ) -> Result<Self, &'static str> {
        let mut secrets: BTreeMap<String, String> = match secret {
            Some(document) => {
                serde_json::from_str(document.expose_secret()).map_err(|_| "it is not an object of texts")?
            }
            None => BTreeMap::new(),
        };
        let mut values = BTreeMap::new();
        for field in fields {
            let value = if field.secret {
                secrets.remove(field.name).map(|text| Value::Secret(SecretString::from(text)))
            } else {
                plain.get(field.name).cloned().map(Value::Plain)
            };
            values.extend(value.map(|value| (field.name, value)));
        }
        Ok(Self { values })
    }

    /// This config with a change laid over it.
    #[must_use]
    pub fn changed_by(mut self, change: ConfigChange) -> Self {
        for (name, value) in change.changes {
            match value {
                Some(value) => self.values.insert(name, value),
                None => self.values.remove(name),
            };
        }
        self
    }

    /// Every required key that is not there.
    #[must_use]
    pub fn missing(&self, fields: &'static [Field], path: &str) -> Vec<FieldProblem> {
        let missing = fields.iter().filter(|field| field.required && !self.values.contains_key(field.name));
        missing.map(|field| field.is_missing(path)).collect()
    }

    /// The part that may be seen.
    #[must_use]
    pub fn plain(&self) -> Map<String, Json> {
        let plain = self.values.iter().filter_map(|(name, value)| match value {
            Value::Plain(value) => Some(((*name).to_owned(), value.clone())),
            Value::Secret(_) => None,
        });
        plain.collect()
    }

    /// The part that must not be seen: its keys, and the document that holds them. The same values always make the same
    /// document. `None` if there is nothing secret.
    #[must_use]
    pub fn secret_document(&self) -> Option<(Vec<String>, SecretString)> {
        let secrets: BTreeMap<&str, &str> = self
            .values
            .iter()
            .filter_map(|(name, value)| match value {
                Value::Secret(secret) => Some((*name, secret.expose_secret())),
                Value::Plain(_) => None,
            })
            .collect();
        if secrets.is_empty() {
            return None;
        }
        let keys = secrets.keys().map(|key| (*key).to_owned()).collect();
        let document = serde_json::to_string(&secrets).unwrap_or_default();
        Some((keys, SecretString::from(document)))
    }

    /// True if the other config has the same secret part.
    #[must_use]
    pub fn same_secrets(&self, other: &Self) -> bool {
        let document =
            |config: &Self| config.secret_document().map(|(_, document)| document.expose_secret().to_owned());
        document(self) == document(other)
    }

    /// The whole config, secrets and all, for a caller with the permission to see them.
    #[must_use]
    pub fn disclosed(&self, fields: &'static [Field]) -> Map<String, Json> {
        let shown = fields.iter().filter_map(|field| {
            let value = match self.values.get(field.name)? {
                Value::Plain(value) => value.clone(),
                Value::Secret(secret) => field.shape.shown(shared::credentials::disclose(secret)),
            };
            Some((field.name.to_owned(), value))
        });
        shown.collect()
    }

    /// A plain text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Plain(value) => value.as_str(),
            Value::Secret(_) => None,
        }
    }

    /// A plain number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            Value::Plain(value) => value.as_u64(),
            Value::Secret(_) => None,
        }
    }

    /// A secret text.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&SecretString> {
        match self.values.get(name)? {
            Value::Secret(secret) => Some(secret),
            Value::Plain(_) => None,
        }
    }

    /// What a provider's answer must not bring back to light: every secret value, and the parts of it that are long
    /// enough to be a credential of their own, such as a URL's key.
    #[must_use]
    pub fn confidential(&self) -> Vec<SecretString> {
        let secrets = self.values.values().filter_map(|value| match value {
            Value::Secret(secret) => Some(secret.expose_secret()),
            Value::Plain(_) => None,
        });
        let parts = secrets.flat_map(|secret| {
            let whole = (secret.len() >= 8).then_some(secret);
            let parts = secret.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| part.len() >= 12);
            whole.into_iter().chain(parts)
        });
        parts.map(SecretString::from).collect()
    }

    /// An address, whether it is secret or not.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<Url> {
        self.values.get(name)?.url()
    }

    /// Secret headers as name and value.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<(String, SecretString)> {
        let Some(document) = self.secret(name) else { return Vec::new() };
        let headers: BTreeMap<String, String> = serde_json::from_str(document.expose_secret()).unwrap_or_default();
        headers.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()
    }
}

fn text_of(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Headers that the client of the request sets itself.
const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
];

impl Shape {
    /// What is accepted, for messages.
    #[must_use]
    pub fn accepted(self) -> String {
        match self {
            Self::Text(most) => format!("text of 1 to {most} characters"),
            Self::Url => "an http or https URL".into(),
            Self::Email => "an e-mail address, or `Name <address>`".into(),
            Self::Number => "a whole number from 1".into(),
            Self::ChatId => "a chat id, such as -1001234567890, or a public name, such as @channel".into(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Headers => "an object of header names and text values".into(),
            Self::EvmAddress => "0x and 40 hexadecimal digits".into(),
        }
    }

    /// Reads a value of this shape, without a word about the value itself: it may be secret.
    fn read(self, value: Json) -> Result<Json, String> {
        let wrong = || format!("must be {}", self.accepted());
        match (self, value) {
            (Self::Number, Json::Number(number)) => {
                number.as_u64().filter(|number| *number > 0).map(Json::from).ok_or_else(wrong)
            }
            (Self::Number, Json::String(text)) => {
                let digits = text.trim();
                let number = digits
                    .parse::<u64>()
                    .ok()
                    .filter(|number| *number > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()));
                number.map(Json::from).ok_or_else(wrong)
            }
            (Self::ChatId, Json::Number(number)) => {
                number.as_i64().map(|number| Json::from(number.to_string())).ok_or_else(wrong)
            }
            (Self::Headers, Json::Object(headers)) => headers_of(headers),
            (Self::Number | Self::Headers, _) => Err(wrong()),
            (_, Json::String(text)) => {
                let text = text.trim();
                let fits = !text.is_empty()
                    && !text.chars().any(char::is_control)
                    && match self {
                        Self::Text(most) => text.chars().count() <= most,
                        Self::Url => {
                            text.len() <= 8192
                                && Url::parse(text)
                                    .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                        }
                        Self::Email => is_email(text),
                        Self::ChatId => text.chars().count() <= 64 && !text.contains(char::is_whitespace),
                        Self::Choice(choices) => choices.contains(&text),
                        Self::EvmAddress => text.strip_prefix("0x").is_some_and(|digits| {
                            digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
                        }),
                        Self::Number | Self::Headers => false,
                    };
                if fits { Ok(Json::from(text)) } else { Err(wrong()) }
            }
            _ => Err(wrong()),
        }
    }

    /// A stored secret as the API shows it.
    fn shown(self, stored: &str) -> Json {
        match self {
            Self::Headers => serde_json::from_str(stored).unwrap_or_else(|_| Json::from(stored)),
            _ => Json::from(stored),
        }
    }

    /// The JSON Schema of a value of this shape.
    #[must_use]
    pub fn schema(self) -> Map<String, Json> {
        let schema = match self {
            Self::Text(most) => serde_json::json!({ "type": "string", "minLength": 1, "maxLength": most }),
            Self::Url => serde_json::json!({ "type": "string", "format": "uri", "pattern": "^https?://" }),
            Self::Email => serde_json::json!({ "type": "string" }),
            Self::Number => serde_json::json!({ "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$" }),
            Self::ChatId => serde_json::json!({ "type": ["integer", "string"], "pattern": "^\\S{1,64}$" }),
            Self::Choice(choices) => serde_json::json!({ "type": "string", "enum": choices }),
            Self::Headers => serde_json::json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            Self::EvmAddress => serde_json::json!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" }),
        };
        match schema {
            Json::Object(schema) => schema,
            _ => Map::new(),
        }
    }
}

/// Deliberately loose: the provider judges. One `@`, something on both sides, no blanks, a dot in the domain.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((_, rest)) => match rest.strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let clean = |part: &str| {
        !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;\"@".contains(c))
    };
    address.len() <= 254
        && clean(local)
        && clean(domain)
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
}

fn headers_of(headers: Map<String, Json>) -> Result<Json, String> {
    if headers.len() > 50 {
        return Err("must have at most 50 headers".into());
    }
    for (name, value) in &headers {
        let token = !name.is_empty()
            && name.len() <= 256
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !token {
            return Err("has a header name that HTTP does not allow".into());
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return Err(format!("may not set {lower}: it is set for every request"));
        }
        let text = value.as_str().ok_or_else(|| format!("must have text as the value of {lower}"))?;
        if text.len() > 8192 || !text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(format!("has a value of {lower} that HTTP does not allow"));
        }
    }
    Ok(Json::Object(headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field] = &[
        Field::secret("token", "Token", Shape::Text(20), "").required(),
        Field::plain("url", "URL", Shape::Url, "").alias("webhookUrl"),
        Field::plain("chainId", "Chain", Shape::Number, ""),
        Field::plain("chatId", "Chat", Shape::ChatId, ""),
        Field::secret("headers", "Headers", Shape::Headers, ""),
    ];

    fn change(given: Json) -> Result<ConfigChange, Vec<String>> {
        let Json::Object(given) = given else { unreachable!() };
        ConfigChange::parse(FIELDS, "config", given)
            .map_err(|problems| problems.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn problems_are_all_named() {
        let named = change(
            json!({ "token": 5, "url": "ftp://x", "colour": "red", "chainId": "0x1", "headers": { "Host": "x" } }),
        )
        .unwrap_err();
        assert_eq!(named, ["config.token", "config.url", "config.colour", "config.chainId", "config.headers"]);
    }

    #[test]
    fn an_alias_is_stored_under_the_fields_own_name_and_not_taken_twice() {
        let config = Config::default().changed_by(change(json!({ "webhookUrl": "https://a.example" })).unwrap());
        assert_eq!(config.text("url"), Some("https://a.example"));
        assert!(change(json!({ "url": "https://a.example", "webhookUrl": "https://b.example" })).is_err());
    }

    #[test]
    fn a_change_merges_null_deletes_and_an_empty_secret_stays() {
        let before = Config::default()
            .changed_by(change(json!({ "token": "old", "url": "https://a.example", "chainId": "137" })).unwrap());
        assert_eq!(before.number("chainId"), Some(137));
        let after = before.clone().changed_by(change(json!({ "token": "", "url": null })).unwrap());
        assert_eq!(after.secret("token").map(ExposeSecret::expose_secret), Some("old"));
        assert_eq!(after.text("url"), None);
        assert!(after.missing(FIELDS, "config").is_empty());
        let gone = after.changed_by(change(json!({ "token": null })).unwrap());
        assert_eq!(gone.missing(FIELDS, "config").len(), 1);
    }

    #[test]
    fn a_chat_id_is_taken_as_a_number_and_as_text() {
        for (given, kept) in [(json!(-100_123), "-100123"), (json!(" 42 "), "42"), (json!("@ops"), "@ops")] {
            let config = Config::default().changed_by(change(json!({ "chatId": given })).unwrap());
            assert_eq!(config.text("chatId"), Some(kept));
        }
        for given in [json!(1.5), json!(true), json!(""), json!("two words")] {
            assert_eq!(change(json!({ "chatId": given })).unwrap_err(), ["config.chatId"]);
        }
    }

    #[test]
    fn parts_come_together_again_and_secrets_do_not_print() {
        let config = Config::default()
            .changed_by(change(json!({ "token": "s3cret", "chainId": 1, "headers": { "X-Key": "hidden" } })).unwrap());
        let (keys, document) = config.secret_document().unwrap();
        assert_eq!(keys, ["headers", "token"]);
        assert_eq!(Config::from_parts(FIELDS, &config.plain(), Some(&document)).unwrap(), config);
        assert_eq!(
            Json::Object(config.disclosed(FIELDS)),
            json!({ "token": "s3cret", "chainId": 1, "headers": { "X-Key": "hidden" } })
        );
        let printed = format!("{config:?}");
        assert!(!printed.contains("s3cret") && !printed.contains("hidden"), "{printed}");
    }

    #[test]
    fn e_mail_addresses_are_judged_loosely() {
        for good in ["a@b.example", "Ops <a.b+c@b.example>", "ä@bücher.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "a", "a@b", "a b@c.example", "@b.example", "a@.example", "<a@b.example", "a@b.example, c@d.example"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
