//! Etherscan's API, version 2, which one of the operator's keys opens for every chain; and Routescan's, which speaks the
//! same.
//!
//! A list is walked upwards: rows from a block on, a thousand a call. Where a call is full, its last block may be cut, so
//! that block is left to the next call, which begins with it. Should one block alone fill a call, it is read by page.
//!
//! Facts: docs.etherscan.io (endpoints, "Common error messages", "Rate limits", "Supported chains"). Every answer is
//! HTTP 200; `status` and the text of `result` tell what it is. `L1FeesPaid` of the chains above Ethereum is from other
//! clients' source.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use shared::egress::Upstream;

use super::chain::Chain;
use super::explorer::{List, Read, Refusal, text};
use super::record::{Place, Scribe, Tally, Transaction, Transfer};
use super::walk::Climb;
use crate::model::Record;
use crate::providers::{Outside, Trouble};

/// What a free plan gives in one call.
const ROWS: usize = 1_000;
/// `page` times `offset` may be ten thousand.
const MOST_PAGES: u32 = 10;
const LAST_BLOCK: u64 = 9_999_999_999;
/// Three calls a second are let through.
const A_MOMENT: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_secs(600);
const AN_HOUR: Duration = Duration::from_secs(3_600);
const A_DAY: Duration = Duration::from_secs(86_400);

/// One of the explorers that speak as Etherscan does.
#[derive(Debug)]
pub(super) enum Service {
    /// Etherscan, with the operator's key.
    Etherscan(SecretString),
    /// Routescan.
    Routescan,
}

/// `status`, `message` and `result`: rows, or what is wrong.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "text")]
    status: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(deserialize_with = "text")]
    block_number: String,
    #[serde(deserialize_with = "text")]
    time_stamp: String,
    #[serde(deserialize_with = "text")]
    hash: String,
    #[serde(default, deserialize_with = "text")]
    from: String,
    #[serde(default, deserialize_with = "text")]
    to: String,
    #[serde(default, deserialize_with = "text")]
    contract_address: String,
    #[serde(default, deserialize_with = "text")]
    value: String,
    #[serde(default, deserialize_with = "text")]
    gas_used: String,
    #[serde(default, deserialize_with = "text")]
    gas_price: String,
    #[serde(rename = "L1FeesPaid", default, deserialize_with = "text")]
    l1_fee: String,
    #[serde(default, deserialize_with = "text")]
    is_error: String,
    #[serde(rename = "type", default, deserialize_with = "text")]
    kind: String,
    #[serde(default, deserialize_with = "text")]
    token_symbol: String,
    #[serde(default, deserialize_with = "text")]
    token_decimal: String,
    #[serde(rename = "tokenID", default, deserialize_with = "text")]
    token_id: String,
    #[serde(default, deserialize_with = "text")]
    token_value: String,
}

impl Service {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Etherscan(_) => "Etherscan",
            Self::Routescan => "Routescan",
        }
    }

    /// Whether the explorer, with this key, tells of a chain at all.
    pub(super) async fn covers(
        &self,
        chain: &'static Chain,
        address: &str,
        outside: &Outside<'_>,
    ) -> Result<(), Refusal> {
        let climb = Climb { block: LAST_BLOCK, ..Climb::default() };
        self.rows(chain, List::Transactions, address, &climb, outside).await.map(drop)
    }

    /// The next page of a list.
    pub(super) async fn read(
        &self,
        chain: &'static Chain,
        list: List,
        climb: &Climb,
        (scribe, address): (&Scribe, &str),
        outside: &Outside<'_>,
    ) -> Result<Read<Climb>, Refusal> {
        let mut rows = self.rows(chain, list, address, climb, outside).await?;
        let blocks = (rows.first().map(Row::block), rows.last().map(Row::block));
        let is_full = rows.len() >= ROWS;
        let next = match blocks {
            // In the middle of a block that alone fills calls.
            (Some(first), Some(last)) if is_full && first == last => Some(within(last, climb)),
            _ if climb.page > 1 => Some(Climb { block: climb.block + 1, ..Climb::default() }),
            (_, Some(last)) if is_full => {
                rows.retain(|row| row.block() < last);
                Some(Climb { block: last, ..Climb::default() })
            }
            _ => None,
        };
        let mut tally = climb.tally.clone();
        let records = rows.iter().filter_map(|row| row.record(list, scribe, &mut tally)).collect();
        let next = next.map(|next| if next.page > 1 { Climb { tally, ..next } } else { next });
        Ok(Read { records, next, newest: blocks.1 })
    }

    async fn rows(
        &self,
        chain: &'static Chain,
        list: List,
        address: &str,
        climb: &Climb,
        outside: &Outside<'_>,
    ) -> Result<Vec<Row>, Refusal> {
        let (chain_id, page, offset) = (chain.id.to_string(), climb.page.max(1).to_string(), ROWS.to_string());
        let first = climb.block.to_string();
        let last = if climb.page > 1 { first.clone() } else { LAST_BLOCK.to_string() };
        let request = match self {
            Self::Etherscan(key) => outside
                .get(Upstream::Etherscan, "/v2/api")
                .query(&[("chainid", &chain_id), ("apikey", key.expose_secret())]),
            Self::Routescan => {
                let path = format!("/v2/network/mainnet/evm/{chain_id}/etherscan/api");
                outside.get(Upstream::Routescan, &path)
            }
        };
        let request = request.query(&[
            ("module", "account"),
            ("action", action(list)),
            ("address", address),
            ("startblock", &first),
            ("endblock", &last),
            ("page", &page),
            ("offset", &offset),
            ("sort", "asc"),
        ]);
        let answer = outside.send(chain.name, request).await?;
        if !answer.is_success() {
            return Err(Trouble::of_answer(chain.name, &answer).into());
        }
        let envelope: Envelope = answer.json().ok_or_else(|| Trouble::unreadable(chain.name))?;
        if envelope.status == "1" {
            return Ok(serde_json::from_value(envelope.result).map_err(|_| Trouble::unreadable(chain.name))?);
        }
        if envelope.message.starts_with("No ") && envelope.message.ends_with(" found") {
            return Ok(Vec::new());
        }
        let reason = envelope.result.as_str().unwrap_or(&envelope.message).to_ascii_lowercase();
        // Not every explorer that speaks as Etherscan does has this list.
        if list == List::MultiTokens && reason.contains("invalid action") {
            return Ok(Vec::new());
        }
        Err(self.refusal(chain, &reason))
    }

    /// What a refusal in words asks for. A key that is refused is the operator's trouble.
    fn refusal(&self, chain: &'static Chain, reason: &str) -> Refusal {
        let has = |part: &str| reason.contains(part);
        if has("not supported for this chain") || has("unsupported chainid") || has("chain not supported") {
            return Refusal::Uncovered(A_DAY);
        }
        if has("api key attempts") || has("invalid api key") {
            tracing::error!(explorer = self.name(), "the operator's key with an explorer is refused");
            return Refusal::Barred(A_WHILE);
        }
        if has("daily") {
            tracing::warn!(
                explorer = self.name(),
                "the operator's key with an explorer has used up its calls of the day"
            );
            return Refusal::Barred(AN_HOUR);
        }
        if has("rate limit") || has("calls per sec") {
            return Trouble::Wait { provider: chain.name, for_: A_MOMENT }.into();
        }
        if has("timeout") {
            return Trouble::ProviderDown(format!("{}'s explorer took too long.", chain.name)).into();
        }
        tracing::warn!(explorer = self.name(), chain = chain.caip, "an explorer refused in words that are not known");
        Trouble::unreadable(chain.name).into()
    }
}

fn action(list: List) -> &'static str {
    match list {
        List::Transactions => "txlist",
        List::Internal => "txlistinternal",
        List::Tokens => "tokentx",
        List::Nfts => "tokennfttx",
        List::MultiTokens => "token1155tx",
    }
}

/// The next page of a block that alone fills calls. What is beyond the last page that can be had is out of reach.
fn within(block: u64, climb: &Climb) -> Climb {
    let page = climb.page.max(1) + 1;
    if page > MOST_PAGES {
        tracing::warn!(block, "a block holds more of an address than an explorer tells");
        return Climb { block: block + 1, ..Climb::default() };
    }
    Climb { block, page, ..Climb::default() }
}

impl Row {
    fn block(&self) -> u64 {
        self.block_number.parse().unwrap_or_default()
    }

    fn place(&self, to: &str) -> Option<Place> {
        Some(Place {
            hash: self.hash.clone(),
            block: self.block(),
            time: self.time_stamp.parse().ok()?,
            from: self.from.clone(),
            to: to.to_owned(),
        })
    }

    /// What the gas cost, and on some chains the data on the chain below.
    fn fee(&self) -> String {
        let number = |text: &str| text.parse::<u128>().unwrap_or_default();
        let gas = number(&self.gas_used).checked_mul(number(&self.gas_price));
        gas.and_then(|gas| gas.checked_add(number(&self.l1_fee))).map(|fee| fee.to_string()).unwrap_or_default()
    }

    fn record(&self, list: List, scribe: &Scribe, tally: &mut Tally) -> Option<Record> {
        let failed = self.is_error == "1";
        let transfer = |value: &str, decimals: u32, token_id: Option<String>| -> Option<Transfer> {
            Some(Transfer {
                place: self.place(&self.to)?,
                contract: self.contract_address.clone(),
                symbol: self.token_symbol.clone(),
                decimals,
                value: value.to_owned(),
                token_id,
            })
        };
        match list {
            List::Transactions => {
                let (value, fee) = (self.value.clone(), self.fee());
                scribe.transaction(&Transaction { place: self.place(&self.to)?, value, fee, failed })
            }
            List::Internal => {
                let is_move =
                    matches!(self.kind.as_str(), "" | "call" | "create" | "create2" | "suicide" | "selfdestruct");
                let to = if self.to.is_empty() { &self.contract_address } else { &self.to };
                if failed || !is_move { None } else { scribe.internal(&self.place(to)?, &self.value, tally) }
            }
            List::Tokens => {
                let decimals = self.token_decimal.parse().unwrap_or_default();
                scribe.transfer(&transfer(&self.value, decimals, None)?, tally)
            }
            List::Nfts => scribe.transfer(&transfer("", 0, Some(self.token_id.clone()))?, tally),
            List::MultiTokens => scribe.transfer(&transfer(&self.token_value, 0, Some(self.token_id.clone()))?, tally),
        }
    }
}
