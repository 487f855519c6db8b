//! `GET /v1/integrations[?page=&pageSize=&searchedKey=&category=&type=&status=&provider=]`: the tenant's integrations, the
//! oldest first, or the most relevant first where something is searched for.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, Tenant, needs};
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::wire::Row;
use crate::Wallets;
use crate::model::{Category, Integration, Origin, Search, Slim, Status, WalletId};
use crate::store::Integrations;

const PAGE_SIZE: usize = 25;
const LARGEST_PAGE: usize = 200;
const LONGEST_SEARCH: usize = 256;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Integrations)]
pub(super) struct List {
    data: Vec<Row>,
    pagination: Pagination,
    user_id: String,
    timestamp: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    page: usize,
    page_size: usize,
    total_count: u64,
    has_next_page: bool,
    has_previous_page: bool,
}

/// Lists the integrations, or searches them.
///
/// The oldest first; with `searchedKey` the most relevant first. Filters combine, and `totalCount` counts what they match.
#[utoipa::path(
    get,
    path = "/v1/integrations",
    tag = "integrations",
    security(("bearer" = ["integrations:read"])),
    params(
        ("page" = Option<usize>, Query, description = "Which page; the first unless given.", minimum = 1),
        ("pageSize" = Option<u32>, Query, description = "How many to a page; 25 unless given.", minimum = 1, maximum = 200),
        ("searchedKey" = Option<String>, Query, description = "What to search for, over names, addresses and ids. Every word must match; typos are forgiven.", max_length = 256),
        ("category" = Option<Category>, Query, description = "Of this category only."),
        ("type" = Option<Origin>, Query, description = "Of this type only."),
        ("status" = Option<Status>, Query, description = "With this status only."),
        ("provider" = Option<String>, Query, description = "Of this provider only."),
    ),
    responses(
        (status = 200, description = "A page; past the last one `data` is empty.", body = List),
    ),
)]
pub(super) async fn list_integrations(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsRead>,
    query: Query,
) -> Result<Json<List>, ApiError> {
    let wanted = Wanted::parse(query)?;
    let (page, page_size) = (wanted.page, wanted.page_size);
    let found = wanted.find(&wallets.integrations, caller.tenant()).await?;
    let pagination = Pagination {
        page,
        page_size,
        total_count: found.total,
        has_next_page: found.more,
        has_previous_page: page > 1,
    };
    Ok(Json(List {
        data: found.integrations.into_iter().map(Row::of).collect(),
        pagination,
        user_id: caller.user().to_owned(),
        timestamp: wallets.platform.ids.now().as_millisecond(),
    }))
}

/// What a request asks for.
#[derive(Debug)]
struct Wanted {
    page: usize,
    page_size: usize,
    search: Option<Search>,
    category: Option<Category>,
    origin: Option<Origin>,
    status: Option<Status>,
    provider: Option<String>,
}

/// A page of what was found.
#[derive(Debug)]
struct Found {
    integrations: Vec<Integration>,
    total: u64,
    more: bool,
}

impl Wanted {
    fn parse(mut query: Query) -> Result<Self, ApiError> {
        let search = query.parsed("searchedKey", &format!("text of at most {LONGEST_SEARCH} characters"), |text| {
            (text.chars().count() <= LONGEST_SEARCH).then(|| Search::of(text))
        });
        let wanted = Self {
            page: query.parsed("page", "a whole number from 1", page_number).unwrap_or(1),
            page_size: query.whole("pageSize", 1, LARGEST_PAGE).unwrap_or(PAGE_SIZE),
            search: search.flatten(),
            category: query.parsed("category", &Category::accepted(), Category::named),
            origin: query.parsed("type", &Origin::accepted(), Origin::named),
            status: query.parsed("status", &Status::accepted(), Status::named),
            provider: query.text("provider").map(str::to_owned),
        };
        query.finish()?;
        Ok(wanted)
    }

    fn is_filtered(&self) -> bool {
        self.category.is_some() || self.origin.is_some() || self.status.is_some() || self.provider.is_some()
    }

    fn passes(&self, one: &Slim) -> bool {
        self.category.is_none_or(|category| one.category == category)
            && self.origin.is_none_or(|origin| one.origin == origin)
            && self.status.is_none_or(|status| one.status == status)
            && self.provider.as_ref().is_none_or(|provider| one.provider == *provider)
    }

    /// Reads no more than it must: of the first page that page and the count, of a later one what stands before it too, in
    /// slim rows, and of a search or a filter all slim rows.
    async fn find(self, store: &Integrations, tenant: &Tenant) -> Result<Found, ApiError> {
        let skipped = self.page_size.saturating_mul(self.page - 1);
        if self.search.is_some() || self.is_filtered() {
            let mut matching = store.slim(tenant, usize::MAX).await?.records;
            matching.retain(|one| self.passes(one));
            if let Some(search) = self.search {
                matching = search.among(matching);
            }
            let (total, rest) = (matching.len(), matching.len().saturating_sub(skipped));
            let ids = page_of(matching, skipped, self.page_size);
            let integrations = store.several(tenant, &ids).await?;
            return Ok(Found { integrations, total: total as u64, more: rest > self.page_size });
        }
        if self.page == 1 {
            let (page, total) = futures::try_join!(store.first(tenant, self.page_size), store.count(tenant))?;
            if page.unreadable == 0 {
                return Ok(Found { integrations: page.records, total, more: page.more });
            }
            // Pages are counted in slim rows, and one of those may be readable although its item is not.
        }
        let before = store.slim(tenant, skipped.saturating_add(self.page_size));
        let (slim, total) = futures::try_join!(before, store.count(tenant))?;
        let ids = page_of(slim.records, skipped, self.page_size);
        Ok(Found { integrations: store.several(tenant, &ids).await?, total, more: slim.more })
    }
}

fn page_of(all: Vec<Slim>, skipped: usize, page_size: usize) -> Vec<WalletId> {
    all.into_iter().skip(skipped).take(page_size).map(|one| one.wallet_id).collect()
}

/// A whole number from 1. One too large to be counted with is as good as the largest: there is nothing there.
fn page_number(text: &str) -> Option<usize> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_whole { text.parse().unwrap_or(usize::MAX) } else { 0 };
    (number > 0).then_some(number)
}
