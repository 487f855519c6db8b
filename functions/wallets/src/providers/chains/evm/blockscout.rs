//! Blockscout's API, one address for the chains that it hosts.
//!
//! A list is walked downwards, from its newest row to the block where an earlier walk began. `next_page_params` are sent
//! back as they came: what `items_count` among them means changed with version 12, and the length of a page tells nothing.
//! Only a key that an earlier version repeats in them is left out, so that it is not stored. Lists are asked for without
//! `sort` and `order`, which would have to be repeated.
//!
//! Facts: docs.blockscout.com (API reference, "PRO API", the breaking changes of version 12). Every plan needs a key, the
//! free one too. An address without a history is 404 before version 12.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shared::egress::{Answer, Upstream};

use super::chain::Chain;
use super::explorer::{List, Read, Refusal, text};
use super::record::{Place, Scribe, Tally, Transaction, Transfer};
use super::walk::Descent;
use crate::model::Record;
use crate::providers::{Outside, Trouble};

const A_WHILE: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_page_params: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    is_contract: bool,
    proxy_type: Option<String>,
}

/// What is said of an address that is not known.
#[derive(Deserialize)]
struct Missing {
    #[serde(default, deserialize_with = "text")]
    message: String,
}

#[derive(Deserialize)]
struct Party {
    hash: String,
}

#[derive(Deserialize)]
struct Row {
    hash: Option<String>,
    transaction_hash: Option<String>,
    /// Before version 7.
    tx_hash: Option<String>,
    /// None of a transaction that waits.
    block_number: Option<u64>,
    /// Before version 7.
    block: Option<u64>,
    timestamp: Option<String>,
    from: Option<Party>,
    to: Option<Party>,
    created_contract: Option<Party>,
    #[serde(default, deserialize_with = "text")]
    value: String,
    fee: Option<Worth>,
    status: Option<String>,
    success: Option<bool>,
    #[serde(rename = "type", default, deserialize_with = "text")]
    kind: String,
    token: Option<Token>,
    token_type: Option<String>,
    total: Option<Worth>,
}

#[derive(Deserialize)]
struct Token {
    address_hash: Option<String>,
    /// Before version 7.
    address: Option<String>,
    #[serde(default, deserialize_with = "text")]
    symbol: String,
    #[serde(default, deserialize_with = "text")]
    decimals: String,
    #[serde(rename = "type")]
    standard: Option<String>,
}

#[derive(Deserialize, Default)]
struct Worth {
    #[serde(default, deserialize_with = "text")]
    value: String,
    #[serde(default, deserialize_with = "text")]
    decimals: String,
    #[serde(default, deserialize_with = "text")]
    token_id: String,
}

/// Blockscout, with the operator's key.
#[derive(Debug)]
pub(super) struct Blockscout(pub(super) SecretString);

impl Blockscout {
    /// Whether an address is a contract, as far as the explorer knows.
    pub(super) async fn is_contract(
        &self,
        chain: &'static Chain,
        address: &str,
        outside: &Outside<'_>,
    ) -> Result<bool, Refusal> {
        let about: Option<About> = self.ask(chain, address, &Map::new(), outside).await?;
        let delegates = |about: &About| about.proxy_type.as_deref() == Some("eip7702");
        Ok(about.is_some_and(|about| about.is_contract && !delegates(&about)))
    }

    /// The next page of a list.
    pub(super) async fn read(
        &self,
        chain: &'static Chain,
        list: List,
        descent: &Descent,
        (scribe, address): (&Scribe, &str),
        outside: &Outside<'_>,
    ) -> Result<Read<Descent>, Refusal> {
        let path = format!("{address}/{}", segment(list));
        let page = self.ask::<Page<Row>>(chain, &path, &descent.next, outside).await?;
        let Some(page) = page else { return Ok(Read { records: Vec::new(), next: None, newest: None }) };
        let mut after = descent.clone();
        let (mut records, mut is_end) = (Vec::new(), false);
        for row in page.items {
            let Some(block) = row.block_number.or(row.block) else { continue };
            if block < descent.floor {
                is_end = true;
                break;
            }
            after.newest = after.newest.max(block);
            records.extend(row.record(block, list, scribe, &mut after.tally));
        }
        let newest = Some(after.newest);
        let next = page.next_page_params.filter(|_| !is_end).map(|mut next| {
            next.retain(|name, value| !matches!(name.as_str(), "key" | "apikey") && !value.is_null());
            Descent { next, ..after }
        });
        Ok(Read { records, next, newest })
    }

    /// Asks for something of an address; `None` if the explorer knows nothing of it.
    async fn ask<T: DeserializeOwned>(
        &self,
        chain: &'static Chain,
        path: &str,
        parameters: &Map<String, Value>,
        outside: &Outside<'_>,
    ) -> Result<Option<T>, Refusal> {
        let path = format!("/{}/api/v2/addresses/{path}", chain.id);
        let mut request = outside.get(Upstream::Blockscout, &path);
        for (name, value) in parameters {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            request = request.query(&[(name, &value)]);
        }
        let answer = outside.send(chain.name, request.bearer(&self.0)).await?;
        match answer.status {
            200..300 => Ok(Some(answer.json().ok_or_else(|| Trouble::unreadable(chain.name))?)),
            // Something else may be missing there, such as a path at an address that the operator overrides.
            404 if is_about_the_address(&answer) => Ok(None),
            401..=403 => {
                tracing::error!(status = answer.status, "Blockscout does not take the operator's key");
                Err(Refusal::Barred(A_WHILE))
            }
            429 => Err(Trouble::Wait { provider: chain.name, for_: pause(&answer) }.into()),
            _ => Err(Trouble::of_answer(chain.name, &answer).into()),
        }
    }
}

fn is_about_the_address(answer: &Answer) -> bool {
    let body: Option<Missing> = answer.json();
    body.is_some_and(|body| body.message.eq_ignore_ascii_case("not found"))
}

/// How long is waited: what `Retry-After` says, or `x-ratelimit-reset` in milliseconds, which is -1 if it is not known.
fn pause(answer: &Answer) -> Duration {
    let reset = answer.header("x-ratelimit-reset").and_then(|text| text.trim().parse().ok()).map(Duration::from_millis);
    answer.retry_after().or(reset).unwrap_or(Duration::from_secs(30))
}

fn segment(list: List) -> &'static str {
    match list {
        List::Transactions => "transactions",
        List::Internal => "internal-transactions",
        List::Tokens | List::Nfts | List::MultiTokens => "token-transfers",
    }
}

impl Row {
    fn place(&self, block: u64) -> Option<Place> {
        let party = |party: &Option<Party>| party.as_ref().map(|party| party.hash.clone());
        let time: jiff::Timestamp = self.timestamp.as_deref()?.parse().ok()?;
        let hash = self.hash.as_ref().or(self.transaction_hash.as_ref()).or(self.tx_hash.as_ref())?.clone();
        let from = party(&self.from).unwrap_or_default();
        let to = party(&self.to).or_else(|| party(&self.created_contract)).unwrap_or_default();
        Some(Place { hash, block, time: time.as_second(), from, to })
    }

    fn record(self, block: u64, list: List, scribe: &Scribe, tally: &mut Tally) -> Option<Record> {
        let place = self.place(block)?;
        match list {
            List::Transactions => {
                let fee = self.fee.unwrap_or_default().value;
                let failed = self.status.as_deref() == Some("error");
                scribe.transaction(&Transaction { place, value: self.value, fee, failed })
            }
            List::Internal => {
                let is_move = matches!(self.kind.as_str(), "call" | "create" | "create2" | "selfdestruct");
                let moved = is_move && self.success.unwrap_or(true);
                if moved { scribe.internal(&place, &self.value, tally) } else { None }
            }
            List::Tokens | List::Nfts | List::MultiTokens => {
                let (token, total) = (self.token?, self.total.unwrap_or_default());
                let standard = self.token_type.or(token.standard).unwrap_or_default();
                let token_id = (!total.token_id.is_empty()).then_some(total.token_id);
                let decimals = if total.decimals.is_empty() { token.decimals } else { total.decimals };
                scribe.transfer(
                    &Transfer {
                        place,
                        contract: token.address_hash.or(token.address)?,
                        symbol: token.symbol,
                        decimals: if token_id.is_some() { 0 } else { decimals.parse().unwrap_or_default() },
                        value: if standard == "ERC-721" { String::new() } else { total.value },
                        token_id,
                    },
                    tally,
                )
            }
        }
    }
}
