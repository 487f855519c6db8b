//! Explorers: what they have in common, and which of them is asked for a chain.
//!
//! They are asked in this order: Etherscan where the operator has a key with it, Routescan where it covers the chain, and
//! Blockscout where it does and the operator has a key, for it answers nobody without one. One that refuses the chain or
//! the operator's key is passed over for a while, which is noted beside the integration, so that it is not asked again with
//! every page.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::egress::Upstream;

use super::blockscout::Blockscout;
use super::chain::Chain;
use super::etherscan::Service;
use crate::model::Record;
use crate::providers::{Outside, Trouble};

/// What explorers list of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum List {
    /// What it sent and received itself.
    Transactions,
    /// Coins that contracts moved.
    Internal,
    /// Tokens (ERC-20).
    Tokens,
    /// Tokens of which there is one (ERC-721).
    Nfts,
    /// Tokens of many kinds (ERC-1155).
    MultiTokens,
}

impl List {
    pub(super) const ALL: [Self; 5] = [Self::Transactions, Self::Internal, Self::Tokens, Self::Nfts, Self::MultiTokens];

    /// The next one.
    pub(super) fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|list| *list > self)
    }

    /// The lists that an explorer that has one of all tokens gives together with this one, and this one.
    pub(super) fn together(self) -> &'static [Self] {
        match self {
            Self::Transactions => &[Self::Transactions],
            Self::Internal => &[Self::Internal],
            Self::Tokens | Self::Nfts | Self::MultiTokens => &[Self::Tokens, Self::Nfts, Self::MultiTokens],
        }
    }
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Read<Place> {
    pub(super) records: Vec<Record>,
    /// Where the list goes on.
    pub(super) next: Option<Place>,
    /// The newest block of which anything was read.
    pub(super) newest: Option<u64>,
}

/// Why an explorer gives no page.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not tell of this chain, or not under the operator's plan. Not worth asking again before so long.
    Uncovered(Duration),
    /// It does not let the operator in. Not worth asking again before so long.
    Barred(Duration),
    /// Anything else.
    Trouble(Trouble),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// An explorer that may be asked.
#[derive(Debug)]
pub(super) enum Explorer {
    /// Lists upwards.
    Etherscan(Service),
    /// Lists downwards.
    Blockscout(Blockscout),
}

/// Who is left to ask for a chain, and whether those that are not left only lack the chain.
#[derive(Debug)]
pub(super) struct Explorers {
    pub(super) left: Vec<Explorer>,
    /// True if one was passed over that might yet tell of the chain.
    pub(super) any_barred: bool,
}

impl Explorer {
    fn name(&self) -> &'static str {
        match self {
            Self::Etherscan(service) => service.name(),
            Self::Blockscout(_) => "Blockscout",
        }
    }

    fn note(&self, chain: &Chain) -> String {
        format!("{} {}", self.name(), chain.caip)
    }

    /// Remembers a refusal, for those who ask next.
    pub(super) fn pass_over(&self, chain: &Chain, for_: Duration, is_covered: bool, outside: &Outside<'_>) {
        let seconds = i64::try_from(for_.as_secs()).unwrap_or(i64::MAX);
        let until = outside.now().as_second().saturating_add(seconds);
        let why = if is_covered { "barred" } else { "uncovered" };
        outside.set_note(&self.note(chain), format!("{why} {until}"));
    }

    /// Whether it was passed over not long ago, and if so, whether it covers the chain.
    fn passed_over(&self, chain: &Chain, outside: &Outside<'_>) -> Option<bool> {
        let note = outside.note(&self.note(chain))?;
        let (why, until) = note.split_once(' ')?;
        let until = Timestamp::from_second(until.parse().ok()?).ok()?;
        (outside.now() < until).then(|| why == "barred")
    }
}

/// Who may be asked for a chain, in order.
pub(super) async fn explorers(chain: &Chain, outside: &Outside<'_>) -> Result<Explorers, Trouble> {
    let mut all = Vec::new();
    if let Some(key) = key(Upstream::Etherscan, outside).await? {
        all.push(Explorer::Etherscan(Service::Etherscan(key)));
    }
    if chain.on_routescan {
        all.push(Explorer::Etherscan(Service::Routescan));
    }
    if chain.on_blockscout
        && let Some(key) = key(Upstream::Blockscout, outside).await?
    {
        all.push(Explorer::Blockscout(Blockscout(key)));
    }
    let passed_over: Vec<Option<bool>> = all.iter().map(|explorer| explorer.passed_over(chain, outside)).collect();
    let any_barred = passed_over.contains(&Some(true));
    let left = all.into_iter().zip(passed_over).filter(|(_, passed)| passed.is_none()).map(|(explorer, _)| explorer);
    Ok(Explorers { left: left.collect(), any_barred })
}

/// The operator's key with an explorer; an empty one is none.
async fn key(upstream: Upstream, outside: &Outside<'_>) -> Result<Option<SecretString>, Trouble> {
    let key = outside.operator_key(upstream).await?;
    Ok(key.filter(|key| !key.expose_secret().trim().is_empty()))
}

/// Text, whether it is written as text or as a number, and nothing where there is none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Option::<Value>::deserialize(deserializer)? {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    })
}
