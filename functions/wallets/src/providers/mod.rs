//! Where histories come from: one file a source, behind one trait, and the catalogue of providers over them.
//!
//! # Theory of operation
//! A [`Source`] holds no state and speaks only through [`Outside`]. It says what an account with it is ([`Source::account`],
//! before anything is asked), judges a credential ([`Source::check`]), and gives one page of history after a cursor of its
//! own making ([`Source::page`]). Whatever it must remember is in the cursor (where it is in the history) or in the
//! tempo (the provider's clock, nonces, notes); both are stored with every page, so a worker that dies costs one page.
//!
//! What goes wrong is a [`Trouble`]. Two kinds heal here, once for all sources: a clock that is off (the server's time is
//! read and the call is made once more) and a nonce that is too low. Waiting, giving up and telling the owner are the
//! job's.
//!
//! An [`Entry`] is a provider as a customer sees it; [`catalogue`] lists them. To add a provider: write its file, copying
//! [`chains::bitcoin`] for a chain or [`exchanges::okx`] for an exchange; name its entries in `CATALOGUE`; write its fake.

mod account;
pub mod apps;
pub mod chains;
mod entry;
pub mod exchanges;
mod outside;
#[cfg(test)]
pub(crate) mod testing;
mod trouble;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::http::FieldProblem;
use shared::telemetry::metrics;

pub use account::{Account, Field, Given, identity_hash, masked};
pub use entry::Entry;
pub use outside::{Lease, Outside};
pub use trouble::Trouble;

use crate::model::Record;
use crate::{GROUP, imports};

/// Every provider, in the order of the catalogue.
static CATALOGUE: &[&Entry] = &[
    &exchanges::binance::ENTRY,
    &exchanges::bitfinex::ENTRY,
    &exchanges::bybit::ENTRY,
    &exchanges::coinbase::ENTRY,
    &exchanges::gemini::ENTRY,
    &exchanges::kraken::ENTRY,
    &exchanges::kucoin::ENTRY,
    &exchanges::okx::ENTRY,
    &chains::evm::ARBITRUM_ENTRY,
    &chains::evm::AVALANCHE_ENTRY,
    &chains::evm::BASE_ENTRY,
    &chains::bitcoin::ENTRY,
    &chains::evm::BSC_ENTRY,
    &chains::evm::ETHEREUM_ENTRY,
    &chains::evm::ENTRY,
    &chains::evm::OPTIMISM_ENTRY,
    &chains::evm::POLYGON_ENTRY,
    &chains::solana::ENTRY,
    &apps::COINBASE_WALLET,
    &apps::LEDGER,
    &apps::METAMASK,
    &apps::PHANTOM,
    &apps::RABBY,
    &apps::TREZOR,
    &apps::TRUST_WALLET,
    &imports::generic::ENTRY,
];

/// Every provider.
#[must_use]
pub fn catalogue() -> &'static [&'static Entry] {
    CATALOGUE
}

/// The provider of this id.
#[must_use]
pub fn entry(id: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().copied().find(|entry| entry.id == id)
}

/// One place that histories are asked from. Implementations hold no state and speak only through [`Outside`].
#[async_trait::async_trait]
pub trait Source: Send + Sync {
    /// Names it in the table; never changes. Two providers over one source share it, so that one address is one account.
    fn name(&self) -> &'static str;

    /// The credential fields; none if it is asked by an address. The first is the credential's public name.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// What an account is given as, for messages: `a Bitcoin address`.
    fn accepted(&self) -> &'static str;

    /// True if an extended public key is taken in place of an address.
    fn takes_xpub(&self) -> bool {
        false
    }

    /// Reads and normalises what says which account is meant, without asking anyone. Exchanges leave it as it is, or look
    /// at the form of a key on top.
    ///
    /// # Errors
    /// Everything that is wrong, by the request's own paths: `address`, `xpub`, `chains`, `credentials.<field>`.
    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        given.credentials(self.fields())
    }

    /// Asks whether the credential works and what it may do. Takes a few calls at most: a person waits.
    ///
    /// # Errors
    /// [`Trouble`]: the final ones refuse the credential, the others leave it unjudged.
    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble>;

    /// One page of history: what follows `cursor`, or the beginning. A page should take few calls (it is lost if any
    /// fails) and hold at most a thousand or so records. What was given before may be given again; it is stored once.
    ///
    /// # Errors
    /// [`Trouble`]; the cursor stays where it was.
    async fn page(&self, account: &Account, cursor: Option<&Cursor>, outside: &Outside<'_>)
    -> Result<Fetched, Trouble>;

    /// The provider's time, for a source that answers [`Trouble::ClockSkew`].
    ///
    /// # Errors
    /// [`Trouble`] if it cannot be had.
    async fn server_time(&self, _outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
        Err(Trouble::Unexpected("The provider's clock and ours are too far apart.".into()))
    }
}

/// What is known of a credential that works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The provider's own name for the account, so that another key of the same account is recognised.
    pub account_id: Option<String>,
    /// What its owner should know: that the key may trade or withdraw, that it will run out. Sentences.
    pub warnings: Vec<String>,
    /// True if the address is a contract.
    pub is_contract: bool,
}

/// One page of history.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What happened, in any order.
    pub records: Vec<Record>,
    /// Where the history goes on.
    pub next: Next,
    /// How many records this whole sync will bring, where the provider says so cheaply.
    pub expected: Option<u64>,
}

/// Where a history goes on.
#[derive(Debug, Clone)]
pub enum Next {
    /// After this cursor there is more.
    More(Cursor),
    /// There is no more now. The next sync that asks for what is new starts with this cursor; `None` starts it over.
    End(Option<Cursor>),
}

impl Next {
    /// What is to be stored with the page.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::More(cursor) => Some(cursor),
            Self::End(cursor) => cursor.as_ref(),
        }
    }
}

/// A place in a history. What it holds is its source's own; keep it below some 50 KB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor that holds `position`.
    #[must_use]
    pub fn of<T: Serialize>(position: &T) -> Self {
        Self(serde_json::to_string(position).unwrap_or_default())
    }

    /// What it holds; `None` if an earlier version of the source wrote it in a form that is no longer understood. Such a
    /// history is best begun anew: nothing is stored twice.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it was stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// [`Source::check`], healed once, and counted.
///
/// # Errors
/// [`Trouble`].
pub async fn check(source: &dyn Source, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
    let checked = check_healed(source, account, outside).await;
    metrics::judged(GROUP, checked.as_ref().map_or_else(Trouble::verdict, |_| "valid"));
    checked
}

async fn check_healed(source: &dyn Source, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
    match source.check(account, outside).await {
        Err(trouble) => {
            heal(source, trouble, outside).await?;
            source.check(account, outside).await.map_err(settled)
        }
        checked => checked,
    }
}

/// [`Source::page`], healed once.
///
/// # Errors
/// [`Trouble`].
pub async fn page(
    source: &dyn Source,
    account: &Account,
    cursor: Option<&Cursor>,
    outside: &Outside<'_>,
) -> Result<Fetched, Trouble> {
    match source.page(account, cursor, outside).await {
        Err(trouble) => {
            heal(source, trouble, outside).await?;
            source.page(account, cursor, outside).await.map_err(settled)
        }
        fetched => fetched,
    }
}

/// Puts right what keeps a call from succeeding, where that is in our hands; otherwise the trouble stays.
async fn heal(source: &dyn Source, trouble: Trouble, outside: &Outside<'_>) -> Result<(), Trouble> {
    match trouble {
        Trouble::ClockSkew(_) => {
            let server = source.server_time(outside).await?;
            outside.set_provider_clock(server);
            Ok(())
        }
        // The next nonce is higher by itself.
        Trouble::NonceTooLow(_) => Ok(()),
        other => Err(other),
    }
}

/// What has been healed once and goes on is the provider's.
fn settled(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::ClockSkew(_) | Trouble::NonceTooLow(_) => Trouble::Unexpected(format!("{trouble}.")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::testing::World;
    use super::*;

    /// Has a clock of its own and refuses whoever is not within a second of it.
    struct Strict(Timestamp);

    #[async_trait::async_trait]
    impl Source for Strict {
        fn name(&self) -> &'static str {
            "strict"
        }

        fn accepted(&self) -> &'static str {
            "anything"
        }

        async fn check(&self, _account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
            let off = outside.provider_now().duration_since(self.0).abs();
            if off > SignedDuration::from_secs(1) { Err(Trouble::ClockSkew("Strict")) } else { Ok(Checked::default()) }
        }

        async fn page(&self, _: &Account, _: Option<&Cursor>, _: &Outside<'_>) -> Result<Fetched, Trouble> {
            Err(Trouble::NonceTooLow("Strict"))
        }

        async fn server_time(&self, _outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
            Ok(self.0)
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_put_right_once_and_remembered() {
        let world = World::of(&[]);
        let strict = Strict(Timestamp::from_second(1_780_000_600).unwrap());
        let outside = world.outside();
        check(&strict, &Account::default(), &outside).await.unwrap();
        assert_eq!(outside.tempo().clock_offset_ms, 600_000);
        world.clock.advance(SignedDuration::from_secs(-600));
        assert_eq!(outside.provider_now(), Timestamp::from_second(1_780_000_000).unwrap());
    }

    #[tokio::test]
    async fn what_does_not_heal_is_told() {
        let world = World::of(&[]);
        let trouble = world.page(&Strict(Timestamp::UNIX_EPOCH), &Account::default(), None).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::Unexpected(message) if message.contains("another program")), "{trouble}");
    }

    #[test]
    fn the_catalogues_ids_are_its_own() {
        let mut ids: Vec<&str> = catalogue().iter().map(|entry| entry.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), catalogue().len());
        for one in catalogue() {
            assert!(entry(one.id).is_some_and(|found| std::ptr::eq(found, *one)), "{}", one.id);
            assert!(one.sources.len() < 2 || one.fields().is_empty(), "{}: only addresses tell sources apart", one.id);
        }
    }
}
