//! The layer that writes the audit log around whatever changes or reveals something.
//!
//! # Theory of operation
//! It stands around every route of every group. Whatever is not a `GET` is audited, unless its operation is
//! [set apart](Audit::Apart); of the `GET`s only those that [reveal](Audit::Reveals) something, and only for a caller who
//! may see what they reveal. So a new route is audited without anybody thinking of it.
//!
//! The token is checked first: who is not known does nothing. A caller who lacks the permission is in the log with the 403.
//! It stands outside of idempotency: a replayed answer is an act of its own, marked as a replay.

use std::collections::BTreeMap;

use axum::body::Body as AxumBody;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::operations::documented_path;
use super::{ApiError, Audit, Group, Operations, RequestId, api, fields};
use crate::Platform;
use crate::audit::{Act, Outcome};
use crate::auth::Permission;
use crate::auth::caller::authenticate;

/// The largest JSON body whose fields are named: as large as a function's request can be.
const LARGEST: usize = 6 * 1024 * 1024;

/// How an operation is audited.
enum How {
    Not,
    /// Two entries, around it.
    Acts,
    /// One entry, before the answer goes out.
    Reveals(Permission),
}

fn how(operations: &Operations, method: &Method, path: &str) -> How {
    match operations.at(method, path).map(|known| known.audit) {
        Some(Audit::Reveals(permission)) => How::Reveals(permission),
        Some(Audit::Apart(_)) => How::Not,
        _ if method == Method::GET || method == Method::HEAD => How::Not,
        _ => How::Acts,
    }
}

/// The layer.
pub(super) async fn audited(State(operations): State<Operations>, request: Request, next: Next) -> Response {
    match run(&operations, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn run(operations: &Operations, request: Request, next: Next) -> Result<Response, ApiError> {
    let missing = || ApiError::misassembled("a route outside of a frame");
    let group = request.extensions().get::<Group>().copied().ok_or_else(missing)?;
    let path = documented_path(&request).to_owned();
    let how = how(operations, request.method(), &path);
    if matches!(how, How::Not) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let caller = authenticate(&mut parts).await?;
    let platform = parts.extensions.get::<Platform>().cloned().ok_or_else(missing)?;
    let request_id = parts.extensions.get::<RequestId>().cloned().ok_or_else(missing)?;
    let named = named_in_path(&mut parts).await;
    let act = Act::of(&caller, group.name, format!("{} {path}", parts.method), request_id.as_str());
    let act = Act { idempotency_key: parts.headers.contains_key("idempotency-key"), ..act.to(named.target.as_deref()) };
    if let How::Reveals(permission) = how {
        let response = next.run(Request::from_parts(parts, body)).await;
        let status = response.status();
        let reveals =
            caller.permissions.contains(&permission) && !status.is_client_error() && !status.is_server_error();
        if reveals {
            platform.audit.reveal(act, status.as_u16()).await?;
        }
        return Ok(response);
    }
    let (body, fields) = if is_json(&parts) {
        let bytes = fields::read(body, LARGEST).await?;
        let names = names(&bytes);
        (AxumBody::from(bytes), names)
    } else {
        (body, Vec::new())
    };
    let begun = platform.audit.begin(act.with_fields(fields)).await?;
    // A panic is an answer too, so that it has an end.
    let response = api::catch(next.run(Request::from_parts(parts, body))).await;
    let (response, created) = if named.is_whole { (response, None) } else { named_in_answer(response).await? };
    let outcome = Outcome {
        status: response.status().as_u16(),
        replayed: response.headers().contains_key("idempotent-replayed"),
        integration: created,
    };
    platform.audit.end(begun, outcome).await;
    Ok(response)
}

/// What a path names.
struct Named {
    target: Option<String>,
    /// False if the answer may name it better: there is nothing, or only a kind of things.
    is_whole: bool,
}

async fn named_in_path(parts: &mut Parts) -> Named {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok();
    let mut values = Vec::new();
    let mut is_whole = false;
    for (name, value) in parameters.iter().flat_map(|parameters| parameters.iter()) {
        values.push(value.to_owned());
        is_whole |= name != "provider";
    }
    Named { target: (!values.is_empty()).then(|| values.join("/")), is_whole }
}

fn is_json(parts: &Parts) -> bool {
    let value = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}

/// The names at the top of a JSON object; none of anything else.
fn names(body: &Bytes) -> Vec<String> {
    let fields: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(body);
    fields.map(|fields| fields.into_keys().collect()).unwrap_or_default()
}

/// The id of what was created, as the answer's body tells it.
async fn named_in_answer(response: Response) -> Result<(Response, Option<String>), ApiError> {
    if !response.status().is_success() {
        return Ok((response, None));
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| ApiError::internal(error.into_inner()))?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let ids = ["/id", "/walletId", "/integration/id", "/data/id"];
    let id = ids.iter().find_map(|pointer| match answer.pointer(pointer) {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    });
    Ok((Response::from_parts(parts, AxumBody::from(body)), id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Handler, Routes};

    #[test]
    fn names_are_those_at_the_top_of_an_object() {
        let names = |body: &'static str| names(&Bytes::from_static(body.as_bytes()));
        assert_eq!(names(r#"{"b": {"c": 1}, "a": "secret", "a": 2}"#), ["a", "b"]);
        for other in ["", "[1]", "\"a\"", "{\"a\":"] {
            assert!(names(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn what_is_not_a_get_is_audited_unless_it_is_set_apart() {
        async fn nothing() {}
        let handler = |name| Handler::<()>::new(name, nothing);
        let routes = Routes::default()
            .get("/secrets", handler("get_secrets").reveals(Permission::SecretsRead))
            .post("/acquire", handler("acquire_thing").not_audited("it is frequent"))
            .delete("/acquire", handler("delete_thing"));
        let operations = routes.operations();
        let how = |method: &Method, path| how(&operations, method, path);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(matches!(how(&method, "/anything"), How::Acts));
        }
        assert!(matches!(how(&Method::POST, "/acquire"), How::Not));
        assert!(matches!(how(&Method::DELETE, "/acquire"), How::Acts));
        assert!(matches!(how(&Method::GET, "/anything"), How::Not));
        assert!(matches!(how(&Method::GET, "/secrets"), How::Reveals(Permission::SecretsRead)));
    }
}
