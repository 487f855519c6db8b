//! `GET /api/integrations[?type=&limit=&cursor=]`: the tenant's integrations, the oldest first, without their config.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Query};
use shared::table::Cursor;
use utoipa::ToSchema;

use crate::model::{Integration, IntegrationId, Kind};
use crate::{GROUP, Services};

const LIMIT: usize = 50;
const LARGEST: usize = 100;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Integrations)]
pub(super) struct List {
    data: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IntegrationRow)]
struct Row {
    id: String,
    name: String,
    #[serde(rename = "type")]
    #[schema(value_type = Kind)]
    kind: &'static str,
    is_managed: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Lists the integrations.
///
/// The oldest first. The config is never in a list.
#[utoipa::path(
    get,
    path = "/api/integrations",
    tag = "integrations",
    security(("bearer" = ["services:read"])),
    params(
        ("type" = Option<Kind>, Query, description = "Of this type only."),
        ("limit" = Option<u32>, Query, description = "How many at most; 50 unless given.", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before, as it came."),
    ),
    responses(
        (status = 200, description = "A page of the list; `nextCursor` only where there is more.", body = List),
    ),
)]
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
