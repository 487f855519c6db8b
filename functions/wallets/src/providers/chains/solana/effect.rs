//! What a transaction did to a wallet, by the balances that it tells from before and after: lamports of the wallet and of
//! its token accounts together, and each other token by itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::NAME;
use crate::model::{Amount, Quantity, Record, RecordKind};
use crate::providers::Trouble;

/// The mint of wrapped SOL.
pub(super) const WRAPPED_SOL: &str = "So11111111111111111111111111111111111111112";
const SOL_DECIMALS: u32 = 9;
/// Tokens that are called by their symbols. Any token can claim any symbol, so others are called by their mints.
const SYMBOLS: [(&str, &str); 2] = [
    ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USDC"),
    ("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", "USDT"),
];

/// The details of a transaction.
#[derive(Deserialize)]
pub(super) struct Transaction {
    meta: Meta,
    transaction: Signed,
}

#[derive(Deserialize)]
struct Signed {
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    account_keys: Vec<AccountKey>,
}

#[derive(Deserialize)]
struct AccountKey {
    pubkey: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    /// Null if it succeeded.
    err: Value,
    fee: u64,
    /// Lamports of each account.
    pre_balances: Vec<u64>,
    post_balances: Vec<u64>,
    /// Null in the earliest blocks.
    pre_token_balances: Option<Vec<TokenBalance>>,
    post_token_balances: Option<Vec<TokenBalance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBalance {
    account_index: usize,
    mint: String,
    owner: Option<String>,
    ui_token_amount: TokenAmount,
}

#[derive(Deserialize)]
struct TokenAmount {
    amount: String,
    decimals: u32,
}

/// What a token is called.
fn asset(mint: &str) -> &str {
    SYMBOLS.iter().find(|(known, _)| *known == mint).map_or(mint, |(_, symbol)| symbol)
}

/// What a transaction did to a wallet.
pub(super) struct Effect {
    kind: RecordKind,
    sent: Option<Amount>,
    received: Option<Amount>,
    fee: Option<Amount>,
    /// The wallet's token accounts that it closed.
    pub(super) closed: Vec<String>,
}

impl Transaction {
    /// What it did to the wallet `own`, by the balances before and after it.
    ///
    /// # Errors
    /// [`Trouble::Unexpected`] if a balance is no number.
    pub(super) fn effect(&self, own: &str) -> Result<Effect, Trouble> {
        let (meta, keys) = (&self.meta, &self.transaction.message.account_keys);
        let pays = keys.first().is_some_and(|first| first.pubkey == own);
        let before = meta.pre_token_balances.as_deref().unwrap_or_default();
        let after = meta.post_token_balances.as_deref().unwrap_or_default();
        let mut accounts: Vec<usize> = Vec::new();
        let mut tokens: BTreeMap<&str, (i128, u32)> = BTreeMap::new();
        for (balances, sign) in [(before, -1), (after, 1)] {
            for balance in balances.iter().filter(|one| one.owner.as_deref() == Some(own)) {
                let amount: i128 = balance.ui_token_amount.amount.parse().map_err(|_| Trouble::unreadable(NAME))?;
                let decimals = balance.ui_token_amount.decimals;
                tokens.entry(&balance.mint).or_insert((0, decimals)).0 += sign * amount;
                accounts.push(balance.account_index);
            }
        }
        // It moves with the lamports of its account.
        tokens.remove(WRAPPED_SOL);
        accounts.sort_unstable();
        accounts.dedup();
        let lamports = |number: &usize| -> i128 {
            let of = |balances: &[u64]| balances.get(*number).copied().map_or(0, i128::from);
            of(&meta.post_balances) - of(&meta.pre_balances)
        };
        let closed = accounts.iter().filter(|number| meta.post_balances.get(**number) == Some(&0));
        let closed = closed.filter_map(|number| Some(keys.get(*number)?.pubkey.clone())).collect();
        accounts.extend(keys.iter().position(|key| key.pubkey == own).filter(|own| !accounts.contains(own)));
        let fee = if pays { i128::from(meta.fee) } else { 0 };
        let sol = accounts.iter().map(lamports).sum::<i128>() + fee;

        let amount = |change: i128, decimals, asset: &str| Amount::of(Quantity::of_units(change, decimals), asset);
        let (mut sent, mut received) = (None, None);
        let changes = tokens.iter().map(|(mint, (change, decimals))| (*change, *decimals, asset(mint)));
        for (change, decimals, asset) in changes.chain([(sol, SOL_DECIMALS, "SOL")]) {
            let side = if change < 0 { &mut sent } else { &mut received };
            *side = side.take().or(amount(change, decimals, asset));
        }
        let moved = || tokens.values().filter(|(change, _)| *change != 0);
        let kind = match (&sent, &received) {
            (None, None) if !meta.err.is_null() && pays => RecordKind::Fee,
            (None, None) => RecordKind::ContractCall,
            (Some(_), Some(_)) => RecordKind::Trade,
            _ if moved().next().is_none() => RecordKind::Transfer,
            _ if moved().all(|(change, decimals)| *decimals == 0 && change.abs() == 1) => RecordKind::NftTransfer,
            _ => RecordKind::TokenTransfer,
        };
        Ok(Effect { kind, sent, received, fee: amount(fee, SOL_DECIMALS, "SOL"), closed })
    }
}

impl Effect {
    /// The record of the transaction that has this signature.
    pub(super) fn record(&self, signature: &str, time: Timestamp) -> Record {
        Record {
            sent: self.sent.clone(),
            received: self.received.clone(),
            fee: self.fee.clone(),
            tx_hash: Some(signature.to_owned()),
            ..Record::new(self.kind, signature, time)
        }
    }
}
