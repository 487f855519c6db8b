//! `GET /api/integrations[?type=&limit=&cursor=]`: the tenant's integrations, the oldest first, without their config.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Query};
use shared::table::Cursor;

use crate::model::{Integration, IntegrationId, Kind};
use crate::{GROUP, Services};

const LIMIT: usize = 50;
const LARGEST: usize = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    data: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    is_managed: bool,
    created_at: String,
    updated_at: String,
}

pub(super) async fn list_integrations(
    State(services): State<Services>,
    caller: Caller<needs::ServicesRead>,
    mut query: Query,
) -> Result<Json<List>, ApiError> {
    let kind = query.parsed("type", &Kind::accepted(), Kind::named);
    let limit = query.whole("limit", 1, LARGEST).unwrap_or(LIMIT);
    let cursor = query.text("cursor").map(str::to_owned);
    query.finish()?;
    let scope = [caller.tenant().as_str(), GROUP, "list_integrations", kind.map_or("", Kind::name)];
    let after = match cursor {
        Some(cursor) => Some(position(&services, &scope, &cursor).await?),
        None => None,
    };
    let page = services.integrations.list(caller.tenant(), kind, after.as_ref(), limit).await?;
    let next_cursor = match page.records.last() {
        Some(last) if page.more => {
            let key = services.platform.signing_key().await?;
            Some(Cursor::seal(key, &scope, last.id.as_str()).as_str().to_owned())
        }
        _ => None,
    };
    Ok(Json(List { data: page.records.into_iter().map(Row::of).collect(), next_cursor }))
}

/// The integration that a cursor of this very list stands at.
async fn position(services: &Services, scope: &[&str], cursor: &str) -> Result<IntegrationId, ApiError> {
    let key = services.platform.signing_key().await?;
    let position = Cursor::open(key, scope, cursor).and_then(|position| IntegrationId::parse(&position));
    position.ok_or_else(|| {
        ApiError::field("cursor", "value", "is not a nextCursor of this list: send it as it came, with the same type")
    })
}

impl Row {
    fn of(integration: Integration) -> Self {
        Self {
            id: integration.id.to_string(),
            name: integration.name,
            kind: integration.kind.name(),
            is_managed: integration.is_managed,
            created_at: iso_milliseconds(integration.created_at),
            updated_at: iso_milliseconds(integration.updated_at),
        }
    }
}
