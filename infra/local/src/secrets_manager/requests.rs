//! The operations' inputs as they arrive, and the checks that need nothing but the input.
//!
//! A member the emulator does not know is ignored, as the service does. None of these types has `Debug` output.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::labels::VersionId;
use super::value::{Binary, Text};

/// The most tags a secret may have.
const TAG_LIMIT: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSecret {
    pub(super) name: Option<String>,
    pub(super) client_request_token: Option<String>,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) secret_string: Option<Text>,
    pub(super) secret_binary: Option<Binary>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) add_replica_regions: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutSecretValue {
    pub(super) secret_id: Option<String>,
    pub(super) client_request_token: Option<String>,
    pub(super) secret_string: Option<Text>,
    pub(super) secret_binary: Option<Binary>,
    pub(super) version_stages: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSecretValue {
    pub(super) secret_id: Option<String>,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchGetSecretValue {
    pub(super) secret_id_list: Option<Vec<String>>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateSecret {
    pub(super) secret_id: Option<String>,
    pub(super) client_request_token: Option<String>,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) secret_string: Option<Text>,
    pub(super) secret_binary: Option<Binary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateSecretVersionStage {
    pub(super) secret_id: Option<String>,
    pub(super) version_stage: Option<String>,
    pub(super) remove_from_version_id: Option<String>,
    pub(super) move_to_version_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeSecret {
    pub(super) secret_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSecret {
    pub(super) secret_id: Option<String>,
    pub(super) recovery_window_in_days: Option<i64>,
    pub(super) force_delete_without_recovery: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RestoreSecret {
    pub(super) secret_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSecrets {
    pub(super) include_planned_deletion: Option<bool>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) sort_by: Option<String>,
    pub(super) sort_order: Option<String>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSecretVersionIds {
    pub(super) secret_id: Option<String>,
    pub(super) include_deprecated: Option<bool>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResource {
    pub(super) secret_id: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResource {
    pub(super) secret_id: Option<String>,
    pub(super) tag_keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRandomPassword {
    pub(super) password_length: Option<i64>,
    pub(super) exclude_characters: Option<String>,
    pub(super) exclude_numbers: Option<bool>,
    pub(super) exclude_punctuation: Option<bool>,
    pub(super) exclude_uppercase: Option<bool>,
    pub(super) exclude_lowercase: Option<bool>,
    pub(super) include_space: Option<bool>,
    pub(super) require_each_included_type: Option<bool>,
}

/// One filter of a list: see [`super::filter`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub(super) key: Option<String>,
    pub(super) values: Option<Vec<String>>,
}

/// A tag, on the wire and in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// How a request names a secret.
#[derive(Clone, Debug)]
pub(super) enum SecretId {
    Name(String),
    /// The whole ARN, or the ARN without the hyphen and the six random characters.
    Arn(String),
}

impl SecretId {
    pub(super) fn parse(id: Option<String>) -> Result<Self, Error> {
        let id = text("secretId", id, 2_048)?;
        if id.starts_with("arn:") { Ok(Self::Arn(id)) } else { Ok(Self::Name(secret_name(id)?)) }
    }
}

/// A name for a new secret.
pub(super) fn new_name(name: Option<String>) -> Result<String, Error> {
    secret_name(text("name", name, 512)?)
}

fn secret_name(name: String) -> Result<String, Error> {
    if name.chars().all(|character| character.is_ascii_alphanumeric() || "-/_+=.@!".contains(character)) {
        return Ok(name);
    }
    Err(Error::Validation(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
            .to_owned(),
    ))
}

/// The id that a new version gets. The SDKs make one up; a bare request has to.
pub(super) fn new_version_id(client_request_token: Option<String>) -> Result<VersionId, Error> {
    let token = client_request_token.ok_or_else(|| {
        Error::InvalidRequest("You must provide a ClientRequestToken value. We recommend a UUID-type value.".to_owned())
    })?;
    VersionId::parse("clientRequestToken", token)
}

/// An id that names an existing version.
pub(super) fn version_id(member: &str, id: Option<String>) -> Result<Option<VersionId>, Error> {
    id.map(|id| VersionId::parse(member, id)).transpose()
}

/// A staging label.
pub(super) fn stage(label: Option<String>) -> Result<String, Error> {
    text("versionStage", label, 256)
}

/// The labels of a new version: none, which means `AWSCURRENT`, or one to twenty.
pub(super) fn stages(labels: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    match labels {
        None => Ok(Vec::new()),
        Some(labels) if labels.is_empty() => Err(Error::constraint("versionStages", "have length of at least 1")),
        Some(labels) => labels.into_iter().map(|label| text("versionStages", Some(label), 256)).collect(),
    }
}

/// A free description of a secret.
pub(super) fn description(description: Option<String>) -> Result<Option<String>, Error> {
    at_most("description", description, 2_048)
}

/// The name of an encryption key; the empty name stands for the service's own key.
pub(super) fn kms_key_id(id: Option<String>) -> Result<Option<String>, Error> {
    at_most("kmsKeyId", id, 2_048)
}

/// `tags` with `added` put in, each key once, its last value winning.
pub(super) fn tagged(tags: Vec<Tag>, added: Vec<Tag>) -> Result<Vec<Tag>, Error> {
    let mut tags = tags;
    for tag in added {
        let key = text("tags.member.key", Some(tag.key), 128)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::InvalidParameter("A tag key can't start with aws:".to_owned()));
        }
        let value = at_most("tags.member.value", Some(tag.value), 256)?.unwrap_or_default();
        match tags.iter_mut().find(|existing| existing.key == key) {
            Some(existing) => existing.value = value,
            None => tags.push(Tag { key, value }),
        }
    }
    if tags.len() > TAG_LIMIT {
        return Err(Error::InvalidParameter(format!("A secret can have at most {TAG_LIMIT} tags.")));
    }
    Ok(tags)
}

/// `tags` without those of the given keys.
pub(super) fn untagged(tags: Vec<Tag>, keys: Vec<String>) -> Vec<Tag> {
    let keys = BTreeSet::from_iter(keys);
    tags.into_iter().filter(|tag| !keys.contains(&tag.key)).collect()
}

/// A member that must be there.
pub(super) fn required<T>(member: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::constraint(member, "not be null"))
}

fn text(member: &str, value: Option<String>, longest: usize) -> Result<String, Error> {
    let value = required(member, at_most(member, value, longest)?)?;
    if value.is_empty() {
        return Err(Error::constraint(member, "have length greater than or equal to 1"));
    }
    Ok(value)
}

fn at_most(member: &str, value: Option<String>, longest: usize) -> Result<Option<String>, Error> {
    if value.as_ref().is_some_and(|value| value.chars().count() > longest) {
        return Err(Error::constraint(member, &format!("have length less than or equal to {longest}")));
    }
    Ok(value)
}
