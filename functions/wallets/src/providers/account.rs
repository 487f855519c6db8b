//! What says which account an integration is of: read from a request, kept in two parts, handed to a source.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use shared::digest::sha256_hex;
use shared::http::FieldProblem;

/// One credential field of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key in `credentials`.
    pub name: &'static str,
    /// What a form calls it.
    pub label: &'static str,
    /// How a person finds the value.
    pub help: &'static str,
    /// True if it must not be seen.
    pub secret: bool,
    /// True if there is no account without it.
    pub required: bool,
    /// What it may be; empty if it may be anything.
    pub choices: &'static [&'static str],
    /// True if it may have several lines, as a private key in PEM has.
    pub has_lines: bool,
}

impl Field {
    /// A required field that must not be seen.
    #[must_use]
    pub const fn secret(name: &'static str, label: &'static str, help: &'static str) -> Self {
        Self { name, label, help, secret: true, required: true, choices: &[], has_lines: false }
    }

    /// The same, and it may have several lines.
    #[must_use]
    pub const fn secret_lines(name: &'static str, label: &'static str, help: &'static str) -> Self {
        Self { has_lines: true, ..Self::secret(name, label, help) }
    }

    /// An optional field that may be seen and be anything.
    #[must_use]
    pub const fn optional(name: &'static str, label: &'static str, help: &'static str) -> Self {
        Self { secret: false, required: false, ..Self::secret(name, label, help) }
    }

    /// An optional field that may be seen and is one of these; the first stands where it is left out.
    #[must_use]
    pub const fn choice(
        name: &'static str,
        label: &'static str,
        choices: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { choices, ..Self::optional(name, label, help) }
    }

    fn accepted(&self) -> String {
        match self.choices {
            [] if self.has_lines => format!("text of 1 to {LONGEST} characters"),
            [] => format!("1 to {LONGEST} letters, digits and signs of ASCII on one line"),
            choices => format!("one of {}", choices.join(", ")),
        }
    }

    /// Reads a value, without a word about the value itself: it may be secret.
    fn read(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?.trim();
        // A form may send the lines of a private key as `\n`.
        let text = if self.has_lines { text.replace("\\n", "\n") } else { text.to_owned() };
        // What no provider's key has would be refused on the way out, with every request: by a header, or a firewall.
        let may_have =
            |c: char| c.is_ascii_graphic() || c == ' ' || (self.has_lines && matches!(c, '\n' | '\r' | '\t'));
        let fits = (1..=LONGEST).contains(&text.chars().count())
            && text.chars().all(may_have)
            && (self.choices.is_empty() || self.choices.contains(&text.as_str()));
        fits.then_some(text)
    }
}

const LONGEST: usize = 4_096;

/// What a request gives to say which account is meant, before a source has read it.
#[derive(Clone, Default)]
pub struct Given {
    /// `credentials`: an object.
    pub credentials: Map<String, Value>,
    /// `address`, trimmed.
    pub address: Option<String>,
    /// `xpub`, trimmed.
    pub xpub: Option<SecretString>,
    /// `chains`, or all of the provider's if none are named: CAIP-2, such as `eip155:1`.
    pub chains: Vec<String>,
}

/// Credentials must not be seen.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("credentials", &self.credentials.keys().collect::<Vec<_>>())
            .field("address", &self.address)
            .field("chains", &self.chains)
            .finish_non_exhaustive()
    }
}

impl Given {
    /// The chains of one namespace, such as `eip155`.
    #[must_use]
    pub fn chains_of(&self, namespace: &str) -> Vec<String> {
        let own = self.chains.iter().filter(|chain| chain.split_once(':').is_some_and(|(first, _)| first == namespace));
        own.cloned().collect()
    }

    /// Reads `credentials` by a source's fields. The first field is the credential's public name, such as an API key's
    /// id; the same one twice is the same account.
    ///
    /// # Errors
    /// Every key that is missing, unknown or does not fit.
    pub fn credentials(&self, fields: &'static [Field]) -> Result<Account, Vec<FieldProblem>> {
        let mut account = Account::default();
        let mut problems = Vec::new();
        for name in self.credentials.keys().filter(|name| !fields.iter().any(|field| field.name == *name)) {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            let message = format!("is not a credential of this provider; they are {}", known.join(", "));
            problems.push(FieldProblem::new(format!("credentials.{name}"), "unknown", message));
        }
        for field in fields {
            let place = format!("credentials.{}", field.name);
            match self.credentials.get(field.name).filter(|value| !value.is_null()) {
                None if field.required => {
                    problems.push(FieldProblem::new(place, "required", format!("is missing: {}", field.accepted())));
                }
                None => {}
                Some(value) => match field.read(value) {
                    Some(text) if field.secret => {
                        account.secrets.insert(field.name.to_owned(), SecretString::from(text));
                    }
                    Some(text) => {
                        account.settings.insert(field.name.to_owned(), text);
                    }
                    None => {
                        problems.push(FieldProblem::new(place, "value", format!("must be {}", field.accepted())));
                    }
                },
            }
        }
        if let Some(field) = fields.first() {
            let name = account.secret(field.name).map_or("", ExposeSecret::expose_secret);
            account.identities.push(format!("key:{name}"));
        }
        if problems.is_empty() { Ok(account) } else { Err(problems) }
    }
}

/// An account at a provider. What is secret rests in Secrets Manager, the rest in the integration's item.
#[derive(Clone, Default)]
pub struct Account {
    /// What may be shown of it: an address in its canonical form, an extended public key masked, nothing of an exchange.
    pub public_address: Option<String>,
    /// The chains that are asked, CAIP-2.
    pub chains: Vec<String>,
    /// Fields that may be seen, by name.
    pub settings: BTreeMap<String, String>,
    /// Fields that must not be seen, by name.
    pub secrets: BTreeMap<String, SecretString>,
    /// What makes two accounts the same one, known before anything is asked: `key:<api key>`, `<chain>:<address>`. Only
    /// hashes of them are stored.
    pub identities: Vec<String>,
}

/// Identities may hold what must not be seen.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("public_address", &self.public_address)
            .field("chains", &self.chains)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The account of an address that may be seen, the same on each of its chains.
    #[must_use]
    pub fn of_address(address: impl Into<String>, chains: Vec<String>) -> Self {
        let address = address.into();
        let identities = chains.iter().map(|chain| format!("{chain}:{address}")).collect();
        Self { public_address: Some(address), chains, identities, ..Self::default() }
    }

    /// The address, or nothing for what has none.
    #[must_use]
    pub fn address(&self) -> &str {
        self.public_address.as_deref().unwrap_or_default()
    }

    /// A field that may be seen.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A field that must not be seen.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&SecretString> {
        self.secrets.get(name)
    }

    /// The document that keeps what is secret, and the names of its keys; `None` if nothing is. The same secrets always
    /// make the same document.
    #[must_use]
    pub fn secret_document(&self) -> Option<(Vec<String>, SecretString)> {
        let secrets: BTreeMap<&str, &str> =
            self.secrets.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        if secrets.is_empty() {
            return None;
        }
        let document = serde_json::to_string(&secrets).unwrap_or_default();
        Some((self.secrets.keys().cloned().collect(), SecretString::from(document)))
    }

    /// Takes in what [`secret_document`](Self::secret_document) made.
    ///
    /// # Errors
    /// What about it cannot be read; never what it holds.
    pub fn with_document(mut self, document: &SecretString) -> Result<Self, &'static str> {
        let secrets: BTreeMap<String, String> =
            serde_json::from_str(document.expose_secret()).map_err(|_| "it is not an object of texts")?;
        self.secrets = secrets.into_iter().map(|(name, text)| (name, SecretString::from(text))).collect();
        Ok(self)
    }
}

/// How an identity of an account at `source` is stored.
#[must_use]
pub fn identity_hash(source: &str, identity: &str) -> String {
    sha256_hex(format!("{source}\n{identity}").as_bytes())
}

/// A long public text cut to its ends: `zpub6rFR7…XJT6`.
#[must_use]
pub fn masked(text: &str) -> String {
    let (head, tail): (String, Vec<char>) = (text.chars().take(9).collect(), text.chars().rev().take(4).collect());
    format!("{head}…{}", tail.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[
        Field::secret("apiKey", "API key", ""),
        Field::secret_lines("apiSecret", "Secret", ""),
        Field::choice("region", "Region", &["global", "eu"], ""),
    ];

    fn given(credentials: Value) -> Given {
        Given { credentials: credentials.as_object().unwrap().clone(), ..Given::default() }
    }

    #[test]
    fn every_problem_is_named() {
        let given = given(json!({ "apiKey": " ", "region": "mars", "otp": "1" }));
        let problems = given.credentials(FIELDS).unwrap_err();
        let named: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(named, ["credentials.otp", "credentials.apiKey", "credentials.apiSecret", "credentials.region"]);
    }

    #[test]
    fn parts_come_together_again_and_secrets_do_not_print() {
        let account =
            given(json!({ "apiKey": "k3y", "apiSecret": "a\\nb", "region": "eu" })).credentials(FIELDS).unwrap();
        let (keys, document) = account.secret_document().unwrap();
        assert_eq!(keys, ["apiKey", "apiSecret"]);
        let stored = Account { settings: account.settings.clone(), ..Account::default() };
        let again = stored.with_document(&document).unwrap();
        assert_eq!(again.secret("apiSecret").unwrap().expose_secret(), "a\nb");
        assert_eq!(again.setting("region"), Some("eu"));
        assert!(!format!("{account:?} {again:?} {document:?}").contains("k3y"));
        let given = given(json!({ "apiKey": "k3y" }));
        assert_eq!(format!("{given:?}"), r#"Given { credentials: ["apiKey"], address: None, chains: [], .. }"#);
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        for wrong in ["KEY\nSECRET", "KEY\r\nSECRET", "kéy", "k\u{200b}ey", "k\tey", "key\u{7f}"] {
            let problems = given(json!({ "apiKey": wrong, "apiSecret": "s" })).credentials(FIELDS).unwrap_err();
            assert_eq!((problems.len(), problems[0].field.as_str()), (1, "credentials.apiKey"), "{wrong:?}");
            assert!(!problems[0].message.contains("SECRET"));
        }
        let spoken = given(json!({ "apiKey": " \\new words, and signs: ~!\"'% ", "apiSecret": "a\nb" }));
        let account = spoken.credentials(FIELDS).unwrap();
        assert_eq!(account.secret("apiKey").unwrap().expose_secret(), "\\new words, and signs: ~!\"'%");
    }

    #[test]
    fn masks_keep_only_the_ends() {
        assert_eq!(masked("zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXJT6"), "zpub6rFR7…XJT6");
    }
}
