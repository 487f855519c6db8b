//! `POST /v1/integrations/csv`: imports an exported file, as a new integration or into one that is there.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Reserved};
use utoipa::ToSchema;

use super::input::Upload;
use super::wire::Detail;
use crate::Wallets;
use crate::imports::{Import, Rejection, store::Imported};

/// What an import came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
struct Report {
    integration: Detail,
    layout: &'static str,
    /// How many rows the file has.
    rows: u64,
    /// How many records were new, and how many were not.
    imported: u64,
    duplicates: u64,
    /// How many rows tell of nothing that happened.
    skipped: u64,
    /// How many rows could not be read, and the first of them.
    rejected_count: u64,
    rejected: Vec<Rejection>,
}

/// A file and what is said of it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct ImportCsvRequest {
    /// The file.
    #[schema(format = Binary)]
    file: String,
    /// Whose layout it has; found from the header line unless given.
    #[schema(nullable = false)]
    provider: Option<String>,
    /// The integration to add to; a new one unless given.
    #[schema(nullable = false)]
    wallet_id: Option<String>,
    /// What its owner calls a new integration.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    alias: Option<String>,
}

/// Imports an exported file.
///
/// As a new integration, or into one that is there. A row that cannot be read is reported and stops none of the others.
#[utoipa::path(
    post,
    path = "/v1/integrations/csv",
    tag = "syncs",
    security(("bearer" = ["integrations:write"])),
    params(
        ("provider" = Option<String>, Query, description = "With `text/csv`: whose layout it has; found from the header line unless given."),
        ("walletId" = Option<String>, Query, description = "With `text/csv`: the integration to add to; a new one unless given."),
        ("alias" = Option<String>, Query, description = "With `text/csv`: what its owner calls a new integration.", min_length = 1, max_length = 200),
    ),
    request_body(content(
        (ImportCsvRequest = "multipart/form-data"),
        (String = "text/csv"),
    )),
    responses(
        (status = 201, description = "What the import came to.", body = Report, headers(("location" = String, description = "The address of what was created."))),
        (status = 404, description = "There is no such integration to add to."),
    ),
)]
pub(super) async fn import_csv(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Reserved(reservation): Reserved,
    OriginalUri(uri): OriginalUri,
    upload: Upload,
) -> Result<Response, ApiError> {
    let (target, file) = upload.read()?;
    let imported = wallets.integrations.import(caller.tenant(), &reservation, target, upload.alias, &file).await?;
    let path = uri.path().trim_end_matches('/').trim_end_matches("/csv");
    let location = format!("{path}/{}", imported.integration.wallet_id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Report::of(imported, file))).into_response())
}

impl Report {
    fn of(imported: Imported, file: Import) -> Self {
        Self {
            integration: Detail::of(imported.integration),
            layout: file.layout,
            rows: file.rows,
            imported: imported.imported,
            duplicates: imported.duplicates,
            skipped: file.skipped,
            rejected_count: file.rejected.count,
            rejected: file.rejected.first,
        }
    }
}
