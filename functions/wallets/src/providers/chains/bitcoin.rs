//! Bitcoin, asked through an Esplora server: an address, or an extended public key.
//!
//! # How a history is walked
//! An address is one *place*. An extended public key has many, derived here, because no Esplora server knows of such
//! keys: receiving addresses (branch 0) and change addresses (branch 1), of the kind that the key's prefix says (xpub:
//! P2PKH, ypub: P2SH-P2WPKH, zpub: P2WPKH). A branch ends after twenty unused addresses in a row (BIP 44's gap limit).
//!
//! First every place is *looked* at: `GET /api/address/{address}` tells how many transactions it has. Then the
//! transactions of each used place are *read*, newest first, 25 a page. The looking comes first because a transaction's
//! effect on the wallet can be told only when all of the wallet's addresses are known: what comes back as change was not
//! spent. A transaction seen from several places is one record, named by its id.
//!
//! Only confirmed transactions are taken: one that waits may yet be replaced, and would then be counted for ever.
//!
//! When a walk ends, its cursor keeps the number of transactions and the newest one of every place. The next walk looks
//! again, reads only places whose number has grown, and of them only what is newer.
//!
//! Facts: Esplora's `API.md`; BIP 32, 44, 49, 84; SLIP 132 for the prefixes.

use std::collections::{BTreeMap, HashSet};

use bitcoin::address::{Address, NetworkUnchecked};
use bitcoin::bip32::{ChildNumber, Xpub};
use bitcoin::key::{CompressedPublicKey, PublicKey};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Network, base58};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use shared::egress::Upstream;
use shared::http::FieldProblem;

use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Given, Next, Outside, Source, Trouble, masked};

const NAME: &str = "Bitcoin";
/// The first block of the main network, in the form of CAIP-2.
const CHAIN: &str = "bip122:000000000019d6689c085ae165831e93";
/// BIP 44: a branch ends after so many unused addresses.
const GAP_LIMIT: u32 = 20;
/// Servers give 25 transactions a page, or 10; a page of fewer is the last.
const SHORTEST_PAGE: usize = 10;
/// How many places are looked at in one page.
const LOOKS: usize = 10;

/// Bitcoin in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "bitcoin",
    public_name: NAME,
    category: Category::Blockchain,
    logo_url: "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/btc.svg",
    sources: &[&Bitcoin],
    chains: &[CHAIN],
    takes_csv: false,
    instructions: "Give an address, or the account's extended public key (xpub, ypub or zpub), which your wallet shows \
        under the account's details. Such a key lets us see every address of the account and move nothing. A wallet that \
        exports a native SegWit account as xpub: give its zpub form.",
};

/// Bitcoin's main network.
pub struct Bitcoin;

#[async_trait::async_trait]
impl Source for Bitcoin {
    fn name(&self) -> &'static str {
        "bitcoin"
    }

    fn accepted(&self) -> &'static str {
        "a Bitcoin address (1…, 3… or bc1…)"
    }

    fn takes_xpub(&self) -> bool {
        true
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let chains = given.chains_of("bip122");
        if let Some(xpub) = &given.xpub {
            let key = ExtendedKey::parse(xpub.expose_secret())
                .map_err(|message| vec![FieldProblem::new("xpub", "value", message)])?;
            return Ok(Account {
                public_address: Some(masked(xpub.expose_secret())),
                chains,
                identities: vec![format!("{CHAIN}:{}", key.canonical())],
                secrets: BTreeMap::from([("xpub".to_owned(), xpub.clone())]),
                ..Account::default()
            });
        }
        match parse_address(given.address.as_deref().unwrap_or_default()) {
            Ok(address) => Ok(Account::of_address(address, chains)),
            Err(message) => Err(vec![FieldProblem::new("address", "value", message)]),
        }
    }

    /// An address that is well formed can be watched; there is nothing to ask.
    async fn check(&self, _account: &Account, _outside: &Outside<'_>) -> Result<Checked, Trouble> {
        Ok(Checked::default())
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let key = match account.secret("xpub") {
            Some(xpub) => Some(ExtendedKey::parse(xpub.expose_secret()).map_err(|message| {
                Trouble::InvalidCredentials(format!("The stored extended public key {message}."))
            })?),
            None => None,
        };
        let wallet = Wallet { account, key };
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done(places)) => Walk::new(places),
            None => Walk::new(Vec::new()),
        };
        if walk.looking.is_some() {
            walk.look(&wallet, outside).await?;
            return Ok(walk.fetched(Vec::new(), &wallet));
        }
        let records = walk.read(&wallet, outside).await?;
        Ok(walk.fetched(records, &wallet))
    }
}

/// Parses an address of the main network and gives its canonical form.
fn parse_address(text: &str) -> Result<String, String> {
    const ACCEPTED: &str = "1…, 3… (base58check) or bc1… (bech32 for version 0, bech32m from version 1)";
    let address: Address<NetworkUnchecked> =
        text.parse().map_err(|_| format!("is not a Bitcoin address, or is mistyped: {ACCEPTED}"))?;
    let address = address
        .require_network(Network::Bitcoin)
        .map_err(|_| format!("is of a test network; give one of the main network: {ACCEPTED}"))?;
    Ok(address.to_string())
}

/// How an extended public key's addresses are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    P2pkh,
    P2shP2wpkh,
    P2wpkh,
}

/// An extended public key with the kind of addresses that its prefix says.
struct ExtendedKey {
    xpub: Xpub,
    script: Script,
}

impl ExtendedKey {
    const XPUB: [u8; 4] = [0x04, 0x88, 0xb2, 0x1e];
    const YPUB: [u8; 4] = [0x04, 0x9d, 0x7c, 0xb2];
    const ZPUB: [u8; 4] = [0x04, 0xb2, 0x47, 0x46];

    /// Parses a key, without a word about the key itself.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut bytes = base58::decode_check(text.trim()).map_err(|_| "is no extended public key, or is mistyped")?;
        let prefix = bytes.first_chunk::<4>().copied().unwrap_or_default();
        let script = match prefix {
            Self::XPUB => Script::P2pkh,
            Self::YPUB => Script::P2shP2wpkh,
            Self::ZPUB => Script::P2wpkh,
            [0x04, 0x88, 0xad, 0xe4] | [0x04, 0x9d, 0x78, 0x78] | [0x04, 0xb2, 0x43, 0x0c] => {
                return Err(
                    "is a PRIVATE key, which nobody should ever be given. Nothing of it was kept. Give the public \
                            one: xpub…, ypub… or zpub…",
                );
            }
            _ => return Err("must begin with xpub, ypub or zpub (a single-signature account of the main network)"),
        };
        if let Some(first) = bytes.first_chunk_mut::<4>() {
            *first = Self::XPUB;
        }
        let xpub = Xpub::decode(&bytes).map_err(|_| "is no extended public key, or is mistyped")?;
        Ok(Self { xpub, script })
    }

    /// The same text for the same addresses, whatever way the key was exported.
    fn canonical(&self) -> String {
        format!("{:?}/{}/{}", self.script, self.xpub.public_key, self.xpub.chain_code)
    }

    fn branch(&self, branch: u8) -> Option<Xpub> {
        let number = ChildNumber::from_normal_idx(branch.into()).ok()?;
        self.xpub.derive_pub(&Secp256k1::verification_only(), &[number]).ok()
    }

    fn address(&self, branch: &Xpub, index: u32) -> Option<String> {
        let number = ChildNumber::from_normal_idx(index).ok()?;
        let key = branch.derive_pub(&Secp256k1::verification_only(), &[number]).ok()?.public_key;
        let address = match self.script {
            Script::P2pkh => Address::p2pkh(PublicKey::new(key), Network::Bitcoin),
            Script::P2shP2wpkh => Address::p2shwpkh(&CompressedPublicKey(key), Network::Bitcoin),
            Script::P2wpkh => Address::p2wpkh(&CompressedPublicKey(key), Network::Bitcoin),
        };
        Some(address.to_string())
    }
}

/// The account with its key parsed.
struct Wallet<'a> {
    account: &'a Account,
    key: Option<ExtendedKey>,
}

impl Wallet<'_> {
    fn address(&self, branch: u8, index: u32) -> Result<String, Trouble> {
        let derived = match &self.key {
            None => Some(self.account.address().to_owned()),
            Some(key) => key.branch(branch).and_then(|branch| key.address(&branch, index)),
        };
        derived.ok_or_else(|| Trouble::Unexpected("An address could not be derived from the key.".into()))
    }

    /// Every address that may take part in a transaction of these places: theirs, and a gap beyond.
    fn addresses(&self, places: &[Place]) -> HashSet<String> {
        let Some(key) = &self.key else { return HashSet::from([self.account.address().to_owned()]) };
        let mut addresses = HashSet::new();
        for number in [0, 1] {
            let Some(branch) = key.branch(number) else { continue };
            let used = places.iter().filter(|place| place.branch == number).map(|place| place.index + 1).max();
            let derived = (0..used.unwrap_or(0) + GAP_LIMIT).filter_map(|index| key.address(&branch, index));
            addresses.extend(derived);
        }
        addresses
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one: every used place.
    Done(Vec<Place>),
}

/// A used address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    #[serde(rename = "b")]
    branch: u8,
    #[serde(rename = "i")]
    index: u32,
    /// How many confirmed transactions it has.
    #[serde(rename = "n")]
    count: u64,
    /// The beginning of its newest transaction's id; none before it has been read.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
}

/// So much of a transaction's id is kept: chance does not make two of them alike.
const KEPT_OF_ID: usize = 20;

/// A walk through the history.
#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    /// Where the looking is; `None` once it is done.
    looking: Option<Looking>,
    /// Places with transactions, in the order in which they were found.
    places: Vec<Place>,
    /// The places of the walk before.
    before: Vec<Place>,
    /// Which place is being read.
    reading: usize,
    /// The last transaction that was read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Its newest transaction's id, as it was when its reading began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Looking {
    branch: u8,
    index: u32,
    /// How many in a row were unused.
    unused: u32,
}

impl Walk {
    fn new(before: Vec<Place>) -> Self {
        let looking = Some(Looking { branch: 0, index: 0, unused: 0 });
        Self { looking, places: Vec::new(), before, reading: 0, after: None, newest: None }
    }

    /// Looks at the next few places.
    async fn look(&mut self, wallet: &Wallet<'_>, outside: &Outside<'_>) -> Result<(), Trouble> {
        for number in 0..LOOKS {
            let Some(Looking { branch, index, unused }) = self.looking else { break };
            let address = wallet.address(branch, index)?;
            let count = match stats(&address, outside).await {
                Ok(count) => count,
                // What has been seen so far is not looked at again; the trouble comes again if it lasts.
                Err(_) if number > 0 => return Ok(()),
                Err(trouble) => return Err(trouble),
            };
            let unused = if count == 0 { unused + 1 } else { 0 };
            if count > 0 {
                self.places.push(Place { branch, index, count, newest: None });
            }
            self.looking = if wallet.key.is_none() || (branch == 1 && unused == GAP_LIMIT) {
                None
            } else if unused == GAP_LIMIT {
                Some(Looking { branch: 1, index: 0, unused: 0 })
            } else {
                Some(Looking { branch, index: index + 1, unused })
            };
        }
        if self.looking.is_none() {
            self.skip_unchanged();
        }
        Ok(())
    }

    fn before(&self, place: &Place) -> Option<&Place> {
        self.before.iter().find(|before| (before.branch, before.index) == (place.branch, place.index))
    }

    /// Moves on to the next place that has anything new.
    fn skip_unchanged(&mut self) {
        while let Some(place) = self.places.get(self.reading) {
            let before = self.before(place).filter(|before| before.count == place.count && before.newest.is_some());
            let Some(newest) = before.and_then(|before| before.newest.clone()) else { break };
            if let Some(place) = self.places.get_mut(self.reading) {
                place.newest = Some(newest);
            }
            self.reading += 1;
        }
    }

    /// Reads the next page of the present place.
    async fn read(&mut self, wallet: &Wallet<'_>, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let Some(place) = self.places.get(self.reading).cloned() else { return Ok(Vec::new()) };
        let address = wallet.address(place.branch, place.index)?;
        let page = transactions(&address, self.after.as_deref(), outside).await?;
        let known = self.before(&place).and_then(|before| before.newest.clone());
        let is_known = |one: &Transaction| known.as_ref().is_some_and(|known| one.txid.starts_with(known.as_str()));
        let fresh: Vec<&Transaction> = page.iter().take_while(|one| !is_known(one)).collect();
        let own = wallet.addresses(&self.places);
        let records = fresh.iter().filter_map(|transaction| transaction.record(&own)).collect();
        if self.after.is_none() {
            self.newest = page.first().map(|first| first.txid.chars().take(KEPT_OF_ID).collect());
        }
        if page.len() < SHORTEST_PAGE || fresh.len() < page.len() {
            let newest = self.newest.take();
            if let Some(place) = self.places.get_mut(self.reading) {
                place.newest = newest;
            }
            self.after = None;
            self.reading += 1;
            self.skip_unchanged();
        } else {
            self.after = page.last().map(|last| last.txid.clone());
        }
        Ok(records)
    }

    fn fetched(self, records: Vec<Record>, wallet: &Wallet<'_>) -> Fetched {
        let done = self.looking.is_none() && self.reading >= self.places.len();
        // What several addresses of a key have in common is counted by each, so only a single address's number is exact.
        let is_whole = wallet.key.is_none() && self.before.is_empty() && self.looking.is_none();
        let expected = is_whole.then(|| self.places.iter().map(|place| place.count).sum());
        let next = if done {
            Next::End(Some(Cursor::of(&Position::Done(self.places))))
        } else {
            Next::More(Cursor::of(&Position::Walking(self)))
        };
        Fetched { records, next, expected }
    }
}

#[derive(Deserialize)]
struct Stats {
    chain_stats: ChainStats,
}

#[derive(Deserialize)]
struct ChainStats {
    tx_count: u64,
}

#[derive(Deserialize)]
struct Transaction {
    txid: String,
    vin: Vec<Input>,
    vout: Vec<Output>,
    fee: u64,
    status: Status,
}

#[derive(Deserialize)]
struct Input {
    /// None of a coinbase transaction.
    prevout: Option<Output>,
}

#[derive(Deserialize)]
struct Output {
    scriptpubkey_address: Option<String>,
    value: u64,
}

#[derive(Deserialize)]
struct Status {
    confirmed: bool,
    block_time: Option<i64>,
}

async fn stats(address: &str, outside: &Outside<'_>) -> Result<u64, Trouble> {
    let answer = outside.send(NAME, outside.get(Upstream::Esplora, &format!("/api/address/{address}"))).await?;
    if !answer.is_success() {
        return Err(Trouble::of_answer(NAME, &answer));
    }
    let stats: Stats = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
    Ok(stats.chain_stats.tx_count)
}

/// Up to 25 confirmed transactions of an address, the newest first, after one of them.
async fn transactions(address: &str, after: Option<&str>, outside: &Outside<'_>) -> Result<Vec<Transaction>, Trouble> {
    let after = after.map(|txid| format!("/{txid}")).unwrap_or_default();
    let path = format!("/api/address/{address}/txs/chain{after}");
    let answer = outside.send(NAME, outside.get(Upstream::Esplora, &path)).await?;
    if !answer.is_success() {
        return Err(Trouble::of_answer(NAME, &answer));
    }
    let mut page: Vec<Transaction> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
    page.retain(|transaction| transaction.status.confirmed);
    Ok(page)
}

impl Transaction {
    /// What the transaction did to a wallet of these addresses.
    fn record(&self, own: &HashSet<String>) -> Option<Record> {
        let is_own =
            |output: &&Output| output.scriptpubkey_address.as_ref().is_some_and(|address| own.contains(address));
        let worth = |outputs: &mut dyn Iterator<Item = &Output>| -> i128 {
            outputs.filter(is_own).map(|output| i128::from(output.value)).sum()
        };
        let spent = worth(&mut self.vin.iter().filter_map(|input| input.prevout.as_ref()));
        let came = worth(&mut self.vout.iter());
        let mut record =
            Record::new(RecordKind::Transfer, self.txid.clone(), Timestamp::from_second(self.status.block_time?).ok()?);
        record.tx_hash = Some(self.txid.clone());
        // Where others paid for inputs too, whose fee it was cannot be told.
        let all_own = spent > 0 && self.vin.iter().all(|input| input.prevout.as_ref().is_some_and(|one| is_own(&one)));
        let fee = if all_own { i128::from(self.fee) } else { 0 };
        let net = came - spent + fee;
        let amount = |satoshis: i128| Amount::of(Quantity::of_units(satoshis, 8), "BTC");
        if net < 0 {
            record.sent = amount(net);
        } else {
            record.received = amount(net);
        }
        record.fee = amount(fee);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use fakes::esplora::Esplora;
    use secrecy::SecretString;

    use super::*;
    use crate::providers::testing::World;

    /// BIP 84's own example: account 0 of "abandon … about", and its first addresses.
    const ZPUB: &str = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";
    const FIRST_RECEIVING: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
    const SECOND_RECEIVING: &str = "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g";
    const FIRST_CHANGE: &str = "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el";

    fn given(address: Option<&str>, xpub: Option<&str>) -> Given {
        Given {
            address: address.map(str::to_owned),
            xpub: xpub.map(SecretString::from),
            chains: vec![CHAIN.to_owned()],
            ..Given::default()
        }
    }

    fn by_address(address: &str) -> Account {
        Bitcoin.account(&given(Some(address), None)).unwrap()
    }

    async fn start() -> (Esplora, World) {
        let esplora = Esplora::start().await.unwrap();
        let world = World::of(&[("ESPLORA", esplora.host.origin())]);
        (esplora, world)
    }

    #[test]
    fn addresses_are_told_from_others() {
        for good in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ] {
            assert_eq!(by_address(good).address(), good);
        }
        assert_eq!(by_address(&FIRST_RECEIVING.to_uppercase()).address(), FIRST_RECEIVING);
        for bad in [
            "",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            // Taproot's program in bech32 instead of bech32m.
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ] {
            let problems = Bitcoin.account(&given(Some(bad), None)).unwrap_err();
            assert_eq!(problems[0].field, "address", "{bad}");
        }
    }

    #[test]
    fn extended_keys_make_the_addresses_of_their_kind() {
        let key = ExtendedKey::parse(ZPUB).unwrap();
        let (receiving, change) = (key.branch(0).unwrap(), key.branch(1).unwrap());
        assert_eq!(key.address(&receiving, 0).unwrap(), FIRST_RECEIVING);
        assert_eq!(key.address(&receiving, 1).unwrap(), SECOND_RECEIVING);
        assert_eq!(key.address(&change, 0).unwrap(), FIRST_CHANGE);
        // BIP 49's and BIP 44's examples of the same words.
        let nested = ExtendedKey::parse(
            "ypub6Ww3ibxVfGzLrAH1PNcjyAWenMTbbAosGNB6VvmSEgytSER9azLDWCxoJwW7Ke7icmizBMXrzBx9979FfaHxHcrArf3zbeJJJUZPf663zsP",
        )
        .unwrap();
        let first = nested.address(&nested.branch(0).unwrap(), 0).unwrap();
        assert_eq!(first, "37VucYSaXLCAsxYyAPfbSi9eh4iEcbShgf");
        let legacy = ExtendedKey::parse(
            "xpub6BosfCnifzxcFwrSzQiqu2DBVTshkCXacvNsWGYJVVhhawA7d4R5WSWGFNbi8Aw6ZRc1brxMyWMzG3DSSSSoekkudhUd9yLb6qx39T9nMdj",
        )
        .unwrap();
        let first = legacy.address(&legacy.branch(0).unwrap(), 0).unwrap();
        assert_eq!(first, "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA");
    }

    #[test]
    fn what_is_no_extended_public_key_is_refused_and_never_repeated() {
        let private = "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu";
        for bad in [
            "",
            "xpub",
            "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYt",
            private,
        ] {
            let problems = Bitcoin.account(&given(None, Some(bad))).unwrap_err();
            assert_eq!(problems[0].field, "xpub");
            assert!(bad.is_empty() || !problems[0].message.contains(bad), "{}", problems[0].message);
        }
    }

    #[tokio::test]
    async fn an_addresss_history_is_walked_once_and_then_only_what_is_new() {
        let (esplora, world) = start().await;
        let account = by_address(FIRST_RECEIVING);
        esplora.receive_many(FIRST_RECEIVING, 60);
        esplora.announce(&[("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", 9)], &[(FIRST_RECEIVING, 9)]);
        let first = world.page(&Bitcoin, &account, None).await.unwrap();
        assert_eq!(first.expected, Some(60));
        let (records, end) = world.walk(&Bitcoin, &account, None).await.unwrap();
        assert_eq!(records.len(), 60, "what waits is not counted");
        esplora.host.forget_requests();
        let (records, end) = world.walk(&Bitcoin, &account, end).await.unwrap();
        assert_eq!((records.len(), esplora.host.calls("/api/address")), (0, 1), "nothing new costs one call");
        esplora.receive_many(FIRST_RECEIVING, 27);
        let (records, _) = world.walk(&Bitcoin, &account, end).await.unwrap();
        assert_eq!(records.len(), 27);
    }

    #[tokio::test]
    async fn a_keys_addresses_are_one_wallet() {
        let (esplora, world) = start().await;
        let account = Bitcoin.account(&given(None, Some(ZPUB))).unwrap();
        assert_eq!(account.public_address.as_deref(), Some("zpub6rFR7…tZYs"));
        let key = ExtendedKey::parse(ZPUB).unwrap();
        let distant = key.address(&key.branch(0).unwrap(), 20).unwrap();
        let beyond = key.address(&key.branch(0).unwrap(), 41).unwrap();
        esplora.receive(FIRST_RECEIVING, 100_000);
        esplora.receive(&distant, 5_000);
        esplora.receive(&beyond, 7_000);
        // Spends both, pays a stranger 60,000, 44,000 come back as change, 1,000 is the fee.
        let spend = esplora.transact(
            &[(FIRST_RECEIVING, 100_000), (&distant, 5_000)],
            &[("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", 60_000), (FIRST_CHANGE, 44_000)],
        );
        let (records, end) = world.walk(&Bitcoin, &account, None).await.unwrap();
        let ids: HashSet<&str> = records.iter().map(|record| record.provider_id.as_str()).collect();
        assert_eq!(ids.len(), 3, "the address beyond the gap is not seen");
        assert_eq!(records.len(), 5, "one transaction is seen from three addresses");
        for record in records.iter().filter(|record| record.provider_id == spend) {
            assert_eq!(record.sent, Amount::of(Quantity::parse("0.0006").unwrap(), "BTC"));
            assert_eq!(record.fee, Amount::of(Quantity::parse("0.00001").unwrap(), "BTC"));
            assert_eq!(record.received, None);
        }
        esplora.receive(SECOND_RECEIVING, 1);
        let (records, _) = world.walk(&Bitcoin, &account, end).await.unwrap();
        assert_eq!(records.len(), 1);
    }

    #[tokio::test]
    async fn throttling_is_waited_for_and_rubbish_is_not_believed() {
        let (esplora, world) = start().await;
        let account = by_address(FIRST_RECEIVING);
        esplora.throttle(1, 7.0);
        let trouble = world.page(&Bitcoin, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: std::time::Duration::from_secs(7) });
        for (answer, expected) in [
            (fakes::Answer::status(200).body("<html>"), Trouble::unreadable(NAME)),
            (fakes::Answer::status(502), Trouble::ProviderDown("Bitcoin has trouble of its own (HTTP 502).".into())),
        ] {
            esplora.host.faults().next(1, fakes::Fault::Answer(answer));
            assert_eq!(world.page(&Bitcoin, &account, None).await.unwrap_err(), expected);
        }
    }
}
