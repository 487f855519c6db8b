//! `Idempotency-Key`: the same request, sent again, gets the first answer byte for byte.
//!
//! # Theory of operation
//! The first request under a key claims a record by a conditional write and holds it for a lease. When it has its
//! answer, that is stored and replayed for 24 hours. The record also holds the [`Reservation`] from which the request
//! derives every name it gives, so when a request dies in the middle and is sent again after the lease, the second run
//! repeats the first run's steps under the same names and ends with one thing, not two.
//!
//! The record's key holds only a hash of the idempotency key; the fingerprint of the body is an HMAC *under* the
//! idempotency key, because a body may hold a secret and a bare hash of one can be guessed at.
//!
//! A key is looked at only for a caller who may ask, so an answer is replayed to nobody else. Answers that say that
//! nothing was decided (401, 403, 429, everything from 500 and whatever says when to try again) are not kept: the key is
//! free for another try. The exception is an answer that says that the thing may have been done, where another try could
//! do it twice ([`ApiError::may_have_acted`]). A request whose like is still running waits for its answer for a few
//! seconds, then is told 409.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Body as AxumBody;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ApiError, FieldProblem, Group, RequestId, api, fields};
use crate::Platform;
use crate::auth::Needs;
use crate::auth::caller::authorize;
use crate::clock::Reservation;
use crate::digest::{hex, sha256_hex};
use crate::table::{Index, Key, Record, Stored, Table, TableError, keys};

const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// A little longer than the longest request.
const LEASE: SignedDuration = SignedDuration::from_secs(35);
const WAITS_FOR: Duration = Duration::from_secs(5);
const LOOKS_AGAIN: Duration = Duration::from_millis(100);
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The identity of what this request creates: a repeated request's is the first one's.
#[derive(Debug, Clone, Copy)]
pub struct Reserved(pub Reservation);

impl<S: Send + Sync> FromRequestParts<S> for Reserved {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if let Some(reserved) = parts.extensions.get::<Self>() {
            return Ok(*reserved);
        }
        let platform = parts.extensions.get::<Platform>().ok_or(ApiError::misassembled("no platform"))?;
        Ok(Self(platform.ids.reserve()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IdempotencyRecord {
    fingerprint: String,
    reservation: Reservation,
    /// Names the run that holds the record.
    holder: uuid::Uuid,
    leased_until: Timestamp,
    kept_until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<KeptAnswer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Record for IdempotencyRecord {
    fn index(&self) -> Index {
        Index { expires_at: Some(self.kept_until), ..Index::default() }
    }
}

/// The layer for a route whose POST creates or acts, and needs the permission `P`.
///
/// # Errors
/// None of its own: what is wrong is a response.
pub async fn idempotent<P: Needs>(request: Request, next: Next) -> Response {
    match run::<P>(request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn run<P: Needs>(request: Request, next: Next) -> Result<Response, ApiError> {
    let Some(value) = request.headers().get("idempotency-key").cloned() else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    // First of all: who may not ask is shown no kept answer and claims nothing.
    let caller = authorize::<P>(&mut parts).await?;
    let idempotency_key = value
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let idempotency_key = idempotency_key.ok_or_else(|| ApiError::InvalidInput(vec![unusable_key()]))?;
    let missing = || ApiError::misassembled("an idempotent route outside of a frame");
    let platform = parts.extensions.get::<Platform>().cloned().ok_or_else(missing)?;
    let group = parts.extensions.get::<Group>().copied().ok_or_else(missing)?;
    let request_id = parts.extensions.get::<RequestId>().cloned().ok_or_else(missing)?;
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = format!("{} {route}", parts.method);
    let body = fields::read(body, fields::BodyLimit::of(&parts.extensions)).await?;

    let claim = Claim {
        table: platform.table.clone(),
        key: keys::idempotency(&caller.tenant, group.name, &route, &sha256_hex(idempotency_key.as_bytes())),
        fingerprint: fingerprint(idempotency_key, &parts, &body),
        holder: platform.ids.uuid(),
    };
    let held = match claim.take(&platform).await? {
        Taken::Mine(held) => held,
        Taken::Answered(answer) => return Ok(answer.replay()),
    };
    parts.extensions.insert(Reserved(held.record.reservation));
    let path = parts.uri.path().to_owned();
    let response = next.run(Request::from_parts(parts, AxumBody::from(body))).await;
    let may_have_acted = response.extensions().get::<Arc<ApiError>>().is_some_and(|error| error.may_have_acted());
    let response = api::present(group, &request_id, &path, response);
    claim.settle(held, response, may_have_acted).await
}

/// What is wrong with an `Idempotency-Key` that cannot be used.
fn unusable_key() -> FieldProblem {
    FieldProblem::new("Idempotency-Key", "value", "must be 1 to 255 printable ASCII characters").in_header()
}

struct Claim {
    table: Table,
    key: Key,
    fingerprint: String,
    holder: uuid::Uuid,
}

enum Taken {
    Mine(Box<Stored<IdempotencyRecord>>),
    Answered(KeptAnswer),
}

impl Claim {
    async fn take(&self, platform: &Platform) -> Result<Taken, ApiError> {
        let waiting_since = tokio::time::Instant::now();
        for attempt in 0.. {
            let now = platform.ids.now();
            let fresh = IdempotencyRecord {
                fingerprint: self.fingerprint.clone(),
                reservation: platform.ids.reserve(),
                holder: self.holder,
                leased_until: now.saturating_add(LEASE).unwrap_or(now),
                kept_until: now.saturating_add(KEPT_FOR).unwrap_or(now),
                answer: None,
            };
            match self.table.create(&self.key, fresh.clone(), self.holder).await {
                Ok(stored) => return Ok(Taken::Mine(Box::new(stored))),
                Err(TableError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
            let Stored { record, version } = match self.table.get::<IdempotencyRecord>(&self.key).await {
                Ok(stored) => stored,
                Err(TableError::Missing) => continue,
                Err(error) => return Err(error.into()),
            };
            let expired = record.kept_until <= now;
            if !expired && record.fingerprint != self.fingerprint {
                return Err(ApiError::conflict(
                    "This Idempotency-Key was used with another request. Use a new key for a new request.",
                ));
            }
            if let (false, Some(answer)) = (expired, &record.answer) {
                return Ok(Taken::Answered(answer.clone()));
            }
            if expired || record.leased_until <= now {
                let taken_over =
                    if expired { fresh } else { IdempotencyRecord { reservation: record.reservation, ..fresh } };
                match self.table.replace(&self.key, taken_over, version).await {
                    Ok(stored) => return Ok(Taken::Mine(Box::new(stored))),
                    Err(TableError::Contended) => self.table.pause(attempt).await,
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            if waiting_since.elapsed() >= WAITS_FOR {
                return Err(ApiError::busy(
                    "A request with this Idempotency-Key is still running. Try again to get its answer.",
                    Duration::from_secs(2),
                ));
            }
            tokio::time::sleep(LOOKS_AGAIN).await;
        }
        Err(TableError::Contended.into())
    }

    /// Keeps the answer for replay, or frees the key. Whichever fails, the answer still goes out: the thing is done, and
    /// a repeated request runs again under the same names once the lease has ended.
    async fn settle(
        &self,
        held: Box<Stored<IdempotencyRecord>>,
        response: Response,
        may_have_acted: bool,
    ) -> Result<Response, ApiError> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| ApiError::internal(error.into_inner()))?.to_bytes();
        let status = parts.status;
        let undecided = !may_have_acted
            && (status.is_server_error()
                || parts.headers.contains_key(header::RETRY_AFTER)
                || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS));
        let Stored { record, version } = *held;
        let kept = if undecided {
            // Freed, but the reservation stays: the next run goes on where this one stopped.
            IdempotencyRecord { leased_until: record.reservation.at.min(record.leased_until), ..record }
        } else {
            let headers = parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH);
            let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
            let answer =
                KeptAnswer { status: status.as_u16(), headers: headers.collect(), body: STANDARD.encode(&body) };
            IdempotencyRecord { answer: Some(answer), ..record }
        };
        if let Err(error) = self.table.replace(&self.key, kept, version).await {
            tracing::warn!(%error, "the answer could not be kept for replay");
        }
        Ok(Response::from_parts(parts, AxumBody::from(body)))
    }
}

impl KeptAnswer {
    fn replay(self) -> Response {
        let body = STANDARD.decode(self.body).unwrap_or_default();
        let mut response = Response::new(AxumBody::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// What makes two requests the same: method, path, query and body. What only separates the parts of a form is made up anew
/// each time it is sent, so it does not count.
fn fingerprint(idempotency_key: &str, parts: &Parts, body: &Bytes) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, idempotency_key.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    let uri = parts.uri.path_and_query().map_or("", |uri| uri.as_str());
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    add(parts.method.as_str().as_bytes());
    add(uri.as_bytes());
    let mut rest: &[u8] = body;
    if let Some(boundary) = boundary(parts) {
        let boundary = boundary.as_bytes();
        while let Some(at) = find(rest, boundary) {
            let (part, after) = rest.split_at(at);
            add(part);
            rest = after.get(boundary.len()..).unwrap_or_default();
        }
    }
    add(rest);
    hex(context.sign().as_ref())
}

/// What separates the parts of a form.
fn boundary(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (media_type, parameters) = value.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, boundary) = named.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let boundary = boundary.trim().trim_matches('"');
    (!boundary.is_empty()).then(|| format!("--{boundary}"))
}

/// Where `needle` begins in `bytes`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(content_type: &str, body: &str) -> String {
        let request = http::Request::post("/x?a=b").header(header::CONTENT_TYPE, content_type).body(()).unwrap();
        fingerprint("key", &request.into_parts().0, &Bytes::from(body.to_owned()))
    }

    #[test]
    fn a_form_is_the_same_whatever_separates_its_parts() {
        let form = |boundary: &str, text: &str| {
            let body = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{text}\r\n--{boundary}--\r\n"
            );
            printed(&format!("multipart/form-data; boundary={boundary}"), &body)
        };
        assert_eq!(form("----one", "a"), form("----another", "a"));
        assert_ne!(form("one", "a"), form("one", "b"));
        assert_ne!(form("one", "a"), printed("text/csv", "a"));
        assert_ne!(printed("text/csv", "--one"), printed("text/csv", "--two"));
    }
}
