//! `GET /v1/integrations/{walletId}/transactions[?limit=&cursor=]`: the stored records, the newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, FieldProblem, Query};
use shared::table::Cursor;
use utoipa::ToSchema;

use super::Named;
use crate::model::{Amount, Record, RecordKind};
use crate::store::{order_of, sort_of};
use crate::{GROUP, Wallets};

const LIMIT: usize = 100;
const LARGEST: usize = 500;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transactions {
    data: Vec<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    id: String,
    time: i64,
    kind: RecordKind,
    #[schema(required = true)]
    sent: Option<Amount>,
    #[schema(required = true)]
    received: Option<Amount>,
    #[schema(required = true)]
    fee: Option<Amount>,
    #[schema(required = true)]
    tx_hash: Option<String>,
}

impl Transaction {
    fn of(record: Record) -> Self {
        Self {
            id: record.provider_id,
            time: record.time.as_millisecond(),
            kind: record.kind,
            sent: record.sent,
            received: record.received,
            fee: record.fee,
            tx_hash: record.tx_hash,
        }
    }
}

/// Lists the stored records, the newest first.
#[utoipa::path(
    get,
    path = "/v1/integrations/{walletId}/transactions",
    tag = "integrations",
    security(("bearer" = ["integrations:read"])),
    params(
        ("walletId" = String, Path, description = "The integration's id."),
        ("limit" = Option<u32>, Query, description = "How many at most; 100 unless given.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before, as it came."),
    ),
    responses(
        (status = 200, description = "A page of the list; `nextCursor` only where there is more.", body = Transactions),
    ),
)]
pub(super) async fn list_transactions(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsRead>,
    Named(id): Named,
    mut query: Query,
) -> Result<Json<Transactions>, ApiError> {
    let limit = query.whole("limit", 1, LARGEST).unwrap_or(LIMIT);
    let cursor = query.text("cursor").map(str::to_owned);
    query.finish()?;
    let scope = [caller.tenant().as_str(), GROUP, "list_transactions", id.as_str()];
    let after = match cursor {
        Some(cursor) => Some(position(&wallets, &scope, &cursor).await?),
        None => None,
    };
    wallets.integrations.read(caller.tenant(), &id).await?;
    let after = after.as_ref().map(|(order, sort)| (order.as_str(), sort.as_str()));
    let page = wallets.integrations.transactions(caller.tenant(), &id, after, limit).await?;
    let next_cursor = match page.records.last() {
        Some(last) if page.more => {
            let key = wallets.platform.signing_key().await?;
            let position = format!("{}\n{}", order_of(last), sort_of(last));
            Some(Cursor::seal(key, &scope, &position).as_str().to_owned())
        }
        _ => None,
    };
    Ok(Json(Transactions { data: page.records.into_iter().map(Transaction::of).collect(), next_cursor }))
}

/// The record that a cursor of this very list stands at.
async fn position(wallets: &Wallets, scope: &[&str], cursor: &str) -> Result<(String, String), ApiError> {
    let key = wallets.platform.signing_key().await?;
    let position = Cursor::open(key, scope, cursor);
    let parts = position.as_ref().and_then(|position| position.split_once('\n'));
    parts.map(|(order, sort)| (order.to_owned(), sort.to_owned())).ok_or_else(|| {
        let message = "is not a nextCursor of this list: send it as it came";
        ApiError::InvalidInput(vec![FieldProblem::new("cursor", "value", message).in_query(cursor)])
    })
}
