//! An uploaded file and what is said of it: a form, or the file alone with the rest in the query.

use std::convert::Infallible;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use multer::Multipart;
use serde_json::Value;
use shared::http::{ApiError, FieldProblem, Query, RawBody, line};

use super::create_integration::{NAME, NAME_ACCEPTED};
use crate::imports::store::Target;
use crate::imports::{self, Import};
use crate::model::WalletId;
use crate::providers::{self, Entry, catalogue};

const ACCEPTED: &str = "multipart/form-data or text/csv";
/// Media types under which a file alone may come.
const FILES: &[&str] = &["text/csv", "application/csv", "text/tab-separated-values"];
const FIELDS: [&str; 4] = ["file", "provider", "walletId", "alias"];

/// A file to import.
#[derive(Debug)]
pub(super) struct Upload {
    file: Bytes,
    charset: Option<String>,
    provider: Option<&'static Entry>,
    wallet: Option<WalletId>,
    /// What its owner calls the integration.
    pub(super) alias: Option<String>,
}

/// What is said of a file, as it was sent.
#[derive(Debug, Default)]
struct Said {
    provider: Option<String>,
    wallet: Option<String>,
    alias: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = text(request.headers()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type == "multipart/form-data" {
            let RawBody(body) = RawBody::from_request(request, state).await?;
            return form(body, &content_type).await;
        }
        if !FILES.contains(&media_type.as_str()) {
            return Err(ApiError::UnsupportedMediaType { accepted: ACCEPTED });
        }
        let (mut parts, body) = request.into_parts();
        let query = <Query as axum::extract::FromRequestParts<S>>::from_request_parts(&mut parts, state).await?;
        let RawBody(file) = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        let said = |name| query.text(name).map(str::to_owned);
        let said = Said { provider: said("provider"), wallet: said("walletId"), alias: said("alias") };
        Self::of(file, charset(&content_type), said, |problem, input| problem.in_query(input))
    }
}

fn text(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

/// The encoding that a media type names.
fn charset(content_type: &str) -> Option<String> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    named.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// Reads a form. Its parts may come in any order.
async fn form(body: Bytes, content_type: &str) -> Result<Upload, ApiError> {
    let broken = |error: multer::Error| ApiError::field("body", "value", format!("is not a form: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let stream = futures::stream::once(async move { Ok::<_, Infallible>(body) });
    let mut parts = Multipart::new(stream, boundary);
    let (mut file, mut said) = (None, Said::default());
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        let twice = match name.as_str() {
            "file" => {
                let charset = part.headers().get(CONTENT_TYPE).and_then(|value| charset(value.to_str().ok()?));
                file.replace((part.bytes().await.map_err(broken)?, charset)).is_some()
            }
            "provider" => said.provider.replace(part.text().await.map_err(broken)?).is_some(),
            "walletId" => said.wallet.replace(part.text().await.map_err(broken)?).is_some(),
            "alias" => said.alias.replace(part.text().await.map_err(broken)?).is_some(),
            _ => {
                let message = format!("is not a field here; the fields are {}", FIELDS.join(", "));
                return Err(ApiError::field(name, "unknown", message));
            }
        };
        if twice {
            return Err(ApiError::field(name, "value", "is there twice: send one at a time"));
        }
    }
    let Some((file, charset)) = file else {
        return Err(ApiError::field("file", "required", "is missing: the CSV file, as a part of the form"));
    };
    Upload::of(file, charset, said, |problem, _| problem)
}

impl Upload {
    /// Understands what is said. `placed` says where a problem is.
    fn of(
        file: Bytes,
        charset: Option<String>,
        said: Said,
        placed: impl Fn(FieldProblem, String) -> FieldProblem,
    ) -> Result<Self, ApiError> {
        // A form that was left empty sends empty fields.
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (provider, wallet, alias) = (given(said.provider), given(said.wallet), given(said.alias));
        let mut problems = Vec::new();
        let known = || catalogue().iter().filter(|entry| entry.takes_csv).map(|entry| entry.id);
        let entry = provider.as_deref().and_then(|id| providers::entry(id.trim()).filter(|entry| entry.takes_csv));
        if let (Some(provider), None) = (provider, entry) {
            let accepted = format!("one of {}", known().collect::<Vec<_>>().join(", "));
            let problem = FieldProblem::new("provider", "value", format!("must be {accepted}")).expecting(accepted);
            problems.push(placed(problem, provider));
        }
        let name = alias.as_ref().and_then(|alias| line(Value::String(alias.clone()), NAME));
        if let (Some(alias), None) = (alias, &name) {
            let problem = FieldProblem::new("alias", "value", format!("must be {NAME_ACCEPTED}"));
            problems.push(placed(problem.expecting(NAME_ACCEPTED), alias));
        }
        if !problems.is_empty() {
            return Err(ApiError::InvalidInput(problems));
        }
        let wallet = match wallet {
            // What has not the form of an id names nothing.
            Some(text) => Some(WalletId::parse(text.trim()).ok_or(ApiError::NotFound { what: "Integration" })?),
            None => None,
        };
        Ok(Self { file, charset, provider: entry, wallet, alias: name })
    }

    /// Reads the file; says where it is to go.
    pub(super) fn read(&self) -> Result<(Target, Import), ApiError> {
        let refused = |reason| ApiError::field("file", "format", reason);
        let import = imports::read(&self.file, self.charset.as_deref(), self.provider.map(|entry| entry.id));
        let import = import.map_err(refused)?;
        let target = match &self.wallet {
            Some(id) => Target::Into(id.clone(), self.provider),
            None => {
                let entry = self.provider.or_else(|| providers::entry(import.provider));
                Target::New(entry.ok_or_else(|| refused("is of a provider that is not known here".into()))?)
            }
        };
        Ok((target, import))
    }
}
