//! The operations, one function each, in the order of a secret's life.
//!
//! Each takes the transaction it runs in and its input, and returns the members of its answer or the refusal that undoes
//! the transaction.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::error::Error;
use super::filter::Filters;
use super::labels::{CURRENT, Labels, VersionId};
use super::page::{Key, Page, Position};
use super::random;
use super::requests::{
    self, BatchGetSecretValue, CreateSecret, DeleteSecret, DescribeSecret, GetRandomPassword, GetSecretValue,
    ListSecretVersionIds, ListSecrets, PutSecretValue, RestoreSecret, SecretId, TagResource, UntagResource,
    UpdateSecret, UpdateSecretVersionStage,
};
use super::store::{Secret, Selection, Session, SortBy, Version, VersionEntry, position};
use super::value::Value;

/// The members of an answer.
pub(super) type Answer = Result<Map<String, Json>, Error>;

/// Makes a secret, with a first version if the request has a value. The same request again changes nothing.
pub(super) fn create_secret(session: &Session<'_>, request: CreateSecret) -> Answer {
    let name = requests::new_name(request.name)?;
    let version = match Value::parse(request.secret_string, request.secret_binary)? {
        Some(value) => Some((requests::new_version_id(request.client_request_token)?, value)),
        None => None,
    };
    let description = requests::description(request.description)?;
    let kms_key_id = requests::kms_key_id(request.kms_key_id)?.filter(|id| !id.is_empty());
    let tags = request.tags.map(|tags| requests::tagged(Vec::new(), tags)).transpose()?;
    if request.add_replica_regions.is_some_and(|regions| !regions.is_empty()) {
        return Err(Error::InvalidParameter(
            "AddReplicaRegions isn't supported: this Secrets Manager has one Region.".to_owned(),
        ));
    }
    if let Some(existing) = session.find(&SecretId::Name(name.clone()))? {
        return create_again(session, &existing, version);
    }
    let arn = format!("{}-{}", session.arn_of(&name), random::arn_suffix());
    let secret = session.insert(&name, &arn, description.as_deref(), kms_key_id.as_deref(), tags.as_deref())?;
    let Some((id, value)) = version else {
        return Ok(identity(&secret));
    };
    add_version(session, &secret, &id, &value, &[])?;
    Ok(with(identity(&secret), json!({ "VersionId": id.as_str() })))
}

/// Answers a creation of a name that is taken: as before to the request that took it, with a refusal to any other.
fn create_again(session: &Session<'_>, secret: &Secret, version: Option<(VersionId, Value)>) -> Answer {
    if secret.deletion.is_some() {
        return Err(Error::InvalidRequest(
            "You can't create this secret because a secret with this name is already scheduled for deletion."
                .to_owned(),
        ));
    }
    if let Some((id, value)) = version
        && let Some(existing) = session.version(secret, &id)?
    {
        if existing.value != value {
            return Err(token_in_use(secret, &id));
        }
        return Ok(with(identity(secret), json!({ "VersionId": id.as_str() })));
    }
    Err(Error::ResourceExists(format!("The operation failed because the secret {} already exists.", secret.name)))
}

/// Adds a version with the labels asked for, or `AWSCURRENT`.
pub(super) fn put_secret_value(session: &Session<'_>, request: PutSecretValue) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let value = Value::parse(request.secret_string, request.secret_binary)?.ok_or_else(Value::missing)?;
    let version = requests::new_version_id(request.client_request_token)?;
    let stages = requests::stages(request.version_stages)?;
    let secret = active(session, &id)?;
    let labels = add_version(session, &secret, &version, &value, &stages)?;
    Ok(with(identity(&secret), json!({ "VersionId": version.as_str(), "VersionStages": labels.of(&version) })))
}

/// Adds a version and returns the labels as they are now. A version that is there already, with the same value, is left
/// as it is: the request was sent twice.
fn add_version(
    session: &Session<'_>,
    secret: &Secret,
    id: &VersionId,
    value: &Value,
    stages: &[String],
) -> Result<Labels, Error> {
    let mut labels = session.labels(secret)?;
    match session.version(secret, id)? {
        Some(existing) if existing.value == *value => Ok(labels),
        Some(_) => Err(token_in_use(secret, id)),
        None => {
            labels.place(id, stages)?;
            session.insert_version(secret, id, value)?;
            session.relabel(secret, &labels)?;
            Ok(labels)
        }
    }
}

/// Returns one version's value: by id, by label, or the current one.
pub(super) fn get_secret_value(session: &Session<'_>, request: GetSecretValue) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let version = requests::version_id("versionId", request.version_id)?;
    let stage = request.version_stage.map(|stage| requests::stage(Some(stage))).transpose()?;
    let secret = active(session, &id)?;
    read_value(session, &secret, version, stage)
}

fn read_value(session: &Session<'_>, secret: &Secret, version: Option<VersionId>, stage: Option<String>) -> Answer {
    let labels = session.labels(secret)?;
    let version = match version {
        Some(id) => {
            let version = version_named(session, secret, &id)?;
            if stage.is_some_and(|stage| labels.holder(&stage) != Some(&id)) {
                return Err(Error::InvalidRequest(
                    "You provided a VersionStage that is not associated to the provided VersionId.".to_owned(),
                ));
            }
            version
        }
        None => {
            let stage = stage.as_deref().unwrap_or(CURRENT);
            let missing = || Error::no_such_version(&format!("staging label: {stage}"));
            version_named(session, secret, labels.holder(stage).ok_or_else(missing)?)?
        }
    };
    session.touch(secret, &version.id)?;
    let mut answer = with(
        identity(secret),
        json!({
            "VersionId": version.id.as_str(),
            "VersionStages": labels_or_nothing(labels.of(&version.id)),
            "CreatedDate": version.created,
        }),
    );
    version.value.write_into(&mut answer);
    Ok(answer)
}

/// Returns the current values of several secrets, and an error for each that has none to give.
pub(super) fn batch_get_secret_value(session: &Session<'_>, request: BatchGetSecretValue) -> Answer {
    const LIST: &str = "BatchGetSecretValue";
    const LIMIT: usize = 20;
    let mut values = Vec::new();
    let mut errors = Vec::new();
    let mut read = |id: &str, secret: Result<Secret, Error>| {
        match secret.and_then(|secret| read_value(session, &secret, None, None)) {
            Ok(value) => values.push(value),
            Err(error @ Error::Internal(_)) => return Err(error),
            Err(error) => {
                errors.push(json!({ "SecretId": id, "ErrorCode": error.code(), "Message": error.to_string() }));
            }
        }
        Ok(())
    };
    let mut next_token = None;
    match (request.secret_id_list, request.filters) {
        (Some(ids), None) => {
            if request.max_results.is_some() || request.next_token.is_some() {
                return Err(Error::InvalidParameter(
                    "You can use MaxResults and NextToken only together with Filters.".to_owned(),
                ));
            }
            if !(1..=LIMIT).contains(&ids.len()) {
                return Err(Error::constraint("secretIdList", &format!("have length between 1 and {LIMIT}")));
            }
            for id in ids {
                let secret = SecretId::parse(Some(id.clone())).and_then(|id| active(session, &id));
                read(&id, secret)?;
            }
        }
        (None, Some(filters)) => {
            let page = Page::parse(LIST, request.next_token, request.max_results, LIMIT)?;
            let selection = Selection {
                filters: Filters::parse(filters)?,
                with_deleted: false,
                sort_by: SortBy::Created,
                descending: false,
            };
            let mut secrets = session.select(&selection, &page)?;
            next_token = page.cut(LIST, &mut secrets, |secret| position(secret, SortBy::Created))?;
            for secret in secrets {
                read(&secret.arn.clone(), Ok(secret))?;
            }
        }
        _ => {
            return Err(Error::InvalidParameter(
                "Either SecretIdList or Filters must be provided, but not both.".to_owned(),
            ));
        }
    }
    Ok(with(Map::new(), json!({ "SecretValues": values, "Errors": errors, "NextToken": next_token })))
}

/// Changes the description or the key, adds a current version if the request has a value, or both.
pub(super) fn update_secret(session: &Session<'_>, request: UpdateSecret) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let version = match Value::parse(request.secret_string, request.secret_binary)? {
        Some(value) => Some((requests::new_version_id(request.client_request_token)?, value)),
        None => None,
    };
    let description = requests::description(request.description)?;
    let kms_key_id = requests::kms_key_id(request.kms_key_id)?;
    let mut secret = active(session, &id)?;
    if description.is_some() {
        secret.description = description;
    }
    if let Some(kms_key_id) = kms_key_id {
        secret.kms_key_id = Some(kms_key_id).filter(|id| !id.is_empty());
    }
    session.update(&secret)?;
    let Some((version, value)) = version else {
        return Ok(identity(&secret));
    };
    add_version(session, &secret, &version, &value, &[])?;
    Ok(with(identity(&secret), json!({ "VersionId": version.as_str() })))
}

/// Moves a staging label from one version to another, puts it on one, or takes it off.
pub(super) fn update_secret_version_stage(session: &Session<'_>, request: UpdateSecretVersionStage) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let stage = requests::stage(request.version_stage)?;
    let from = requests::version_id("removeFromVersionId", request.remove_from_version_id)?;
    let to = requests::version_id("moveToVersionId", request.move_to_version_id)?;
    let secret = active(session, &id)?;
    for version in [&from, &to].into_iter().flatten() {
        version_named(session, &secret, version)?;
    }
    let mut labels = session.labels(&secret)?;
    labels.relabel(&stage, from.as_ref(), to.as_ref())?;
    session.relabel(&secret, &labels)?;
    Ok(identity(&secret))
}

/// Returns everything about a secret but its values, even when it is scheduled for deletion.
pub(super) fn describe_secret(session: &Session<'_>, request: DescribeSecret) -> Answer {
    let secret = known(session, &SecretId::parse(request.secret_id)?)?;
    let labels = session.labels(&secret)?;
    Ok(with(details(&secret), json!({ "VersionIdsToStages": versions_or_nothing(&labels) })))
}

/// Lists the versions of a secret that have a label or, if the request wants them, all.
pub(super) fn list_secret_version_ids(session: &Session<'_>, request: ListSecretVersionIds) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let list = "ListSecretVersionIds";
    let page = Page::parse(list, request.next_token, request.max_results, 100)?;
    let secret = known(session, &id)?;
    let labels = session.labels(&secret)?;
    let mut versions = session.versions(&secret, request.include_deprecated == Some(true), &page)?;
    let next_token = page.cut(list, &mut versions, |version| Position {
        key: Key::Number(version.created.milliseconds()),
        row: version.row,
    })?;
    let key = secret.kms_key_id.as_deref().unwrap_or("DefaultEncryptionKey");
    let entry = |version: &VersionEntry| {
        let entry = json!({
            "VersionId": version.id.as_str(),
            "VersionStages": labels_or_nothing(labels.of(&version.id)),
            "CreatedDate": version.created,
            "LastAccessedDate": version.accessed,
            "KmsKeyIds": [key],
        });
        with(Map::new(), entry)
    };
    let versions: Vec<_> = versions.iter().map(entry).collect();
    Ok(with(identity(&secret), json!({ "Versions": versions, "NextToken": next_token })))
}

/// Lists secrets, without their values.
pub(super) fn list_secrets(session: &Session<'_>, request: ListSecrets) -> Answer {
    let sort_by = match request.sort_by.as_deref() {
        None | Some("created-date") => SortBy::Created,
        Some("last-accessed-date") => SortBy::Accessed,
        Some("last-changed-date") => SortBy::Changed,
        Some("name") => SortBy::Name,
        Some(_) => {
            let keys = "[created-date, last-accessed-date, last-changed-date, name]";
            return Err(Error::constraint("sortBy", &format!("satisfy enum value set: {keys}")));
        }
    };
    let descending = match request.sort_order.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Error::constraint("sortOrder", "satisfy enum value set: [asc, desc]")),
    };
    let with_deleted = request.include_planned_deletion == Some(true);
    let filters = Filters::parse(request.filters.unwrap_or_default())?;
    let selection = Selection { filters, with_deleted, sort_by, descending };
    // The order is part of the token's list: a place in one order is none in another.
    let list = format!("ListSecrets {sort_by:?} {descending}");
    let page = Page::parse(&list, request.next_token, request.max_results, 100)?;
    let mut secrets = session.select(&selection, &page)?;
    let next_token = page.cut(&list, &mut secrets, |secret| position(secret, sort_by))?;
    let entries = secrets.iter().map(|secret| {
        let labels = session.labels(secret)?;
        Ok(with(details(secret), json!({ "SecretVersionsToStages": versions_or_nothing(&labels) })))
    });
    let entries = entries.collect::<Result<Vec<_>, Error>>()?;
    Ok(with(Map::new(), json!({ "SecretList": entries, "NextToken": next_token })))
}

/// Adds tags to a secret, or changes their values.
pub(super) fn tag_resource(session: &Session<'_>, request: TagResource) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let added = requests::required("tags", request.tags)?;
    let mut secret = active(session, &id)?;
    secret.tags = Some(requests::tagged(secret.tags.take().unwrap_or_default(), added)?);
    session.update(&secret)?;
    Ok(Map::new())
}

/// Takes tags off a secret. Those it does not have are no error.
pub(super) fn untag_resource(session: &Session<'_>, request: UntagResource) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let keys = requests::required("tagKeys", request.tag_keys)?;
    let mut secret = active(session, &id)?;
    secret.tags = secret.tags.take().map(|tags| requests::untagged(tags, keys));
    session.update(&secret)?;
    Ok(Map::new())
}

/// Schedules a secret for deletion, or deletes it at once.
pub(super) fn delete_secret(session: &Session<'_>, request: DeleteSecret) -> Answer {
    let id = SecretId::parse(request.secret_id)?;
    let force = request.force_delete_without_recovery == Some(true);
    let window = match request.recovery_window_in_days {
        Some(_) if force => {
            return Err(Error::InvalidParameter(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.".to_owned(),
            ));
        }
        None => 30,
        Some(days @ 7..=30) => days,
        Some(_) => {
            return Err(Error::InvalidParameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).".to_owned(),
            ));
        }
    };
    if !force {
        let mut secret = active(session, &id)?;
        let due = session.now.plus_days(window);
        secret.deletion = Some(due);
        session.update(&secret)?;
        return Ok(with(identity(&secret), json!({ "DeletionDate": due })));
    }
    let identity = match session.find(&id)? {
        Some(secret) => {
            session.remove(&secret)?;
            identity(&secret)
        }
        // Nothing to delete is what was asked for.
        None => {
            let (arn, name) = match &id {
                SecretId::Name(name) => (session.arn_of(name), name.as_str()),
                SecretId::Arn(arn) => (arn.clone(), arn.rsplit(':').next().unwrap_or_default()),
            };
            with(Map::new(), json!({ "ARN": arn, "Name": name }))
        }
    };
    Ok(with(identity, json!({ "DeletionDate": session.now })))
}

/// Takes a scheduled deletion back.
pub(super) fn restore_secret(session: &Session<'_>, request: RestoreSecret) -> Answer {
    let mut secret = known(session, &SecretId::parse(request.secret_id)?)?;
    if secret.deletion.take().is_some() {
        session.update(&secret)?;
    }
    Ok(identity(&secret))
}

/// Makes up a password. Touches no secret.
pub(super) fn get_random_password(_session: &Session<'_>, request: GetRandomPassword) -> Answer {
    Ok(with(Map::new(), json!({ "RandomPassword": random::password(&request)? })))
}

/// The secret a request names.
fn known(session: &Session<'_>, id: &SecretId) -> Result<Secret, Error> {
    session.find(id)?.ok_or_else(Error::no_such_secret)
}

/// The secret a request names, unless it is scheduled for deletion.
fn active(session: &Session<'_>, id: &SecretId) -> Result<Secret, Error> {
    let secret = known(session, id)?;
    if secret.deletion.is_some() {
        return Err(Error::InvalidRequest(
            "You can't perform this operation on the secret because it was marked for deletion.".to_owned(),
        ));
    }
    Ok(secret)
}

/// The refusal to give a version another value.
fn token_in_use(secret: &Secret, id: &VersionId) -> Error {
    Error::ResourceExists(format!(
        "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
        id.as_str(),
        secret.arn
    ))
}

fn version_named(session: &Session<'_>, secret: &Secret, id: &VersionId) -> Result<Version, Error> {
    let missing = || Error::no_such_version(&format!("VersionId: {}", id.as_str()));
    session.version(secret, id)?.ok_or_else(missing)
}

/// The two members that nearly every answer has.
fn identity(secret: &Secret) -> Map<String, Json> {
    with(Map::new(), json!({ "ARN": secret.arn, "Name": secret.name }))
}

/// What a description and a list say of a secret, apart from its versions.
fn details(secret: &Secret) -> Map<String, Json> {
    let details = json!({
        "Description": secret.description,
        "KmsKeyId": secret.kms_key_id,
        "Tags": secret.tags,
        "CreatedDate": secret.created,
        "LastChangedDate": secret.changed,
        "LastAccessedDate": secret.accessed,
        "DeletedDate": secret.deletion,
    });
    with(identity(secret), details)
}

/// Adds members to an answer; the null ones are left out, as the service does.
fn with(mut answer: Map<String, Json>, members: Json) -> Map<String, Json> {
    if let Json::Object(members) = members {
        answer.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    }
    answer
}

/// A list that is left out when it is empty.
fn labels_or_nothing(labels: Vec<&str>) -> Option<Vec<&str>> {
    Some(labels).filter(|labels| !labels.is_empty())
}

/// The labelled versions; left out when there are none.
fn versions_or_nothing(labels: &Labels) -> Option<BTreeMap<&str, Vec<&str>>> {
    Some(labels.by_version()).filter(|versions| !versions.is_empty())
}
