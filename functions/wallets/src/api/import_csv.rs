//! `POST /v1/integrations/csv`: imports an exported file, as a new integration or into one that is there.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Reserved};

use super::input::Upload;
use super::wire::Detail;
use crate::Wallets;
use crate::imports::{Import, Rejection, store::Imported};

/// What an import came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
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
