//! Coinbase, asked with a key of its developer platform (CDP).
//!
//! # How a history is walked
//! Coinbase keeps an account for every asset. A walk first lists them (`GET /v2/accounts`, 100 a page), then reads each
//! one's transactions, the oldest first, 100 a page. Every transaction is a record; what changes two accounts, such as a
//! conversion, is two of them. The next walk goes on after each account's last transaction, or before the first one that
//! was still under way.
//!
//! What a transaction is its type says, and, where something came in or went out, its sign alone: `send` once stood for
//! both, and `exchange_deposit` takes money out of this account, into the exchange's. What is sent on a chain is told with
//! the network's fee in it; the fee is told beside it.
//!
//! Each request carries a token of its own, signed with the key: ES256 for keys in PEM, EdDSA for those in base64. It
//! names method, host and path without the query, and lives for two minutes. A clock that is off looks like a wrong key;
//! the answer's `Date` tells them apart. A refusal counts against the key only where Coinbase itself gives it as its
//! reason: what stands before its API refuses whole networks with a page of its own.
//!
//! Facts: docs.cdp.coinbase.com ("Coinbase App authentication", "Pagination", "Accounts", "Transactions", "Get API key
//! permissions"); Coinbase's own client for the claims.

use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::egress::{Answer, Upstream};
use shared::http::FieldProblem;

use crate::model::{Amount, Category, Quantity, Record, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Coinbase";
/// What tokens name, wherever the requests go.
const HOST: &str = "api.coinbase.com";
/// How long a token lives.
const LIFE: i64 = 120;
/// A clock further off than this may be what made a token be refused. How much Coinbase forgives is not documented; setting
/// the clock and asking once more costs two calls, and calling a good key wrong stops a wallet.
const SKEW: SignedDuration = SignedDuration::from_secs(3);
/// So many rows an answer.
const LIMIT: usize = 100;
/// So many accounts a page.
const STEPS: usize = 5;

/// Coinbase in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "coinbase",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/23/large/Coinbase_Coin_Primary.png",
    sources: &[&Coinbase],
    chains: &[],
    takes_csv: true,
    instructions: "On portal.cdp.coinbase.com open API keys, Secret API keys, Create API key, and choose your portfolio. \
        Tick View only: neither Trade nor Transfer. Leave the IP allowlist empty. Either signature algorithm is taken. \
        Copy the key's name (or id) and its private key, which is shown once.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "Key name or id", "organizations/…/apiKeys/…, or the id alone, as in the downloaded file."),
    Field::secret_lines(
        "apiSecret",
        "Private key",
        "From -----BEGIN EC PRIVATE KEY----- to the end, or one line of base64.",
    ),
];

/// Coinbase's accounts.
pub struct Coinbase;

#[async_trait::async_trait]
impl Source for Coinbase {
    fn name(&self) -> &'static str {
        "coinbase"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Coinbase"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let account = given.credentials(FIELDS)?;
        match account.secret("apiSecret").and_then(SigningKey::read) {
            Some(_) => Ok(account),
            None => {
                let message = "must be the whole private key: PEM of an EC key on P-256, or base64 of an Ed25519 key";
                Err(vec![FieldProblem::new("credentials.apiSecret", "value", message)])
            }
        }
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let may: Permissions = get(account, outside, "/api/v3/brokerage/key_permissions", "").await?;
        if !may.can_view {
            return Err(Trouble::InsufficientPermissions("The key may not view. Make one with View ticked.".into()));
        }
        let warn = |may: bool, what: &str| may.then(|| format!("This key may {what}. Make one that has only View."));
        let warnings = warn(may.can_transfer, "transfer funds").into_iter().chain(warn(may.can_trade, "trade"));
        let account_id = may.portfolio_uuid.filter(|id| !id.is_empty());
        Ok(Checked { account_id, warnings: warnings.collect(), is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let mut walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done { after }) => Walk { after, ..Walk::default() },
            None => Walk::default(),
        };
        let mut records = Vec::new();
        if walk.is_listed {
            for number in 0..STEPS {
                match walk.read(account, outside).await {
                    Ok(read) => records.extend(read),
                    // What has been read so far is not read again; the trouble comes again if it lasts.
                    Err(_) if number > 0 => break,
                    Err(trouble) => return Err(trouble),
                }
            }
        } else {
            walk.list(account, outside).await?;
        }
        let next = if walk.is_listed && walk.accounts.is_empty() {
            Next::End(Some(Cursor::of(&Position::Done { after: walk.after })))
        } else {
            Next::More(Cursor::of(&Position::Walking(walk)))
        };
        Ok(Fetched { records, next, expected: None })
    }

    async fn server_time(&self, outside: &Outside<'_>) -> Result<Timestamp, Trouble> {
        #[derive(Deserialize)]
        struct Time {
            epoch: i64,
        }
        let answer = outside.send(NAME, outside.get(Upstream::Coinbase, "/v2/time")).await?;
        let time: Data<Time> = read(&answer, outside)?;
        Timestamp::from_second(time.data.epoch).map_err(|_| Trouble::unreadable(NAME))
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one: of each account that has any, the last transaction before which all are settled.
    Done { after: BTreeMap<String, String> },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Walk {
    /// True once all accounts are known.
    is_listed: bool,
    /// The accounts that are still to be read; while they are being listed, all so far.
    accounts: VecDeque<String>,
    after: BTreeMap<String, String>,
    /// Where the reading of the first account is, if it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// True if that account has a transaction that is still under way.
    #[serde(default)]
    is_open: bool,
}

impl Walk {
    async fn list(&mut self, account: &Account, outside: &Outside<'_>) -> Result<(), Trouble> {
        let after = self.accounts.back().map(|last| format!("&starting_after={last}")).unwrap_or_default();
        let page: Page<Listed> = get(account, outside, "/v2/accounts", &format!("limit={LIMIT}{after}")).await?;
        self.is_listed = !page.has_more();
        self.accounts.extend(page.data.into_iter().map(|listed| listed.id).filter(|id| is_plain(id)));
        Ok(())
    }

    /// Reads the next transactions of the first account.
    async fn read(&mut self, account: &Account, outside: &Outside<'_>) -> Result<Vec<Record>, Trouble> {
        let Some(id) = self.accounts.front().cloned() else { return Ok(Vec::new()) };
        let after = self.at.as_ref().or_else(|| self.after.get(&id)).filter(|after| is_plain(after));
        let after = after.map(|after| format!("&starting_after={after}")).unwrap_or_default();
        let path = format!("/v2/accounts/{id}/transactions");
        let page: Page<Transaction> = get(account, outside, &path, &format!("order=asc&limit={LIMIT}{after}")).await?;
        for transaction in &page.data {
            self.is_open |= transaction.is_under_way();
            if !self.is_open {
                self.after.insert(id.clone(), transaction.id.clone());
            }
        }
        if page.has_more() && !page.data.is_empty() {
            self.at = page.data.last().map(|last| last.id.clone());
        } else {
            self.accounts.pop_front();
            (self.at, self.is_open) = (None, false);
        }
        Ok(page.data.into_iter().filter_map(Transaction::record).collect())
    }
}

/// True for ids that may stand in a path.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Permissions {
    can_view: bool,
    can_trade: bool,
    can_transfer: bool,
    portfolio_uuid: Option<String>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
struct Pagination {
    next_uri: Option<String>,
}

impl<T> Page<T> {
    fn has_more(&self) -> bool {
        self.pagination.as_ref().and_then(|one| one.next_uri.as_ref()).is_some_and(|next| !next.is_empty())
    }
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

#[derive(Deserialize)]
struct Transaction {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    amount: Money,
    created_at: Timestamp,
    network: Option<Network>,
    advanced_trade_fill: Option<Fill>,
}

#[derive(Deserialize)]
struct Money {
    amount: String,
    currency: String,
}

#[derive(Deserialize)]
struct Network {
    hash: Option<String>,
    /// A part of the transaction's amount.
    transaction_fee: Option<Money>,
}

impl Network {
    /// What the chain took, in the asset that was sent.
    fn fee_in(&self, currency: &str) -> Option<Decimal> {
        let fee = self.transaction_fee.as_ref().filter(|fee| fee.currency == currency)?;
        Quantity::parse(&fee.amount)?.decimal().map(|fee| fee.abs())
    }
}

#[derive(Deserialize)]
struct Fill {
    commission: Option<String>,
    /// Such as `BTC-USD`.
    #[serde(default)]
    product_id: String,
}

impl Transaction {
    fn is_under_way(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "waiting_for_signature" | "waiting_for_clearing")
    }

    fn record(self) -> Option<Record> {
        if !matches!(self.status.as_str(), "" | "completed") {
            return None;
        }
        let change = Quantity::parse(&self.amount.amount)?;
        let is_out = change.is_negative();
        let mut record = Record::new(kind(&self.kind, is_out), self.id, self.created_at);
        let currency = self.amount.currency;
        // A fill is seen from both its accounts; the commission is told where it was paid.
        let fill = self.advanced_trade_fill.filter(|fill| fill.product_id.rsplit('-').next() == Some(&currency));
        let commission = fill.and_then(|fill| fill.commission).and_then(|commission| Quantity::parse(&commission));
        record.fee = commission.and_then(|commission| Amount::of(commission, currency.clone()));
        let network_fee = self.network.as_ref().and_then(|network| network.fee_in(&currency)).filter(|_| is_out);
        let net = network_fee.and_then(|fee| change.decimal()?.checked_add(fee)).filter(|net| !net.is_sign_positive());
        if let (Some(fee), Some(_)) = (network_fee, net) {
            record.fee = Amount::of(fee.into(), currency.clone());
        }
        let amount = Amount::of(net.map_or(change, Quantity::from), currency);
        (record.sent, record.received) = if is_out { (amount, None) } else { (None, amount) };
        record.tx_hash = self.network.and_then(|network| network.hash).filter(|hash| !hash.is_empty());
        Some(record)
    }
}

/// What a transaction of this type is, out of the account or into it.
fn kind(name: &str, is_out: bool) -> RecordKind {
    match name {
        "buy" | "sell" | "advanced_trade_fill" => RecordKind::Trade,
        "trade" | "wrap_asset" | "unwrap_asset" | "retail_simple_dust" => RecordKind::Conversion,
        // Over the edge of the account, whichever way its name seems to say.
        "send"
        | "receive"
        | "request"
        | "fiat_deposit"
        | "fiat_withdrawal"
        | "exchange_deposit"
        | "exchange_withdrawal"
        | "pro_deposit"
        | "pro_withdrawal"
        | "prime_withdrawal"
        | "intx_deposit"
        | "intx_withdrawal"
        | "unsupported_asset_recovery" => {
            if is_out {
                RecordKind::Withdrawal
            } else {
                RecordKind::Deposit
            }
        }
        name if !is_out && REWARDS.iter().any(|part| name.contains(part)) => RecordKind::Reward,
        // Between the owner's own accounts (`transfer`, `vault_withdrawal`, `staking_transfer`), and whatever else there is.
        _ => RecordKind::Ledger,
    }
}

/// What the names of types have in common that bring something for nothing.
const REWARDS: [&str; 5] = ["reward", "interest", "earn_payout", "airdrop", "rebate"];

/// What tokens are signed with.
enum SigningKey {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Reads PEM of an EC key (SEC 1 or PKCS #8), or base64 of an Ed25519 seed, alone or with its public key after it.
    fn read(secret: &SecretString) -> Option<Self> {
        let text = secret.expose_secret().trim();
        if text.starts_with("-----BEGIN") {
            let body: String =
                text.lines().filter(|line| !line.starts_with("-----")).flat_map(|line| line.trim().chars()).collect();
            let der = STANDARD.decode(body).ok()?;
            let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                .or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der));
            return Some(Self::Es256(Box::new(pair.ok()?)));
        }
        let bytes = STANDARD.decode(text).ok()?;
        let pair = match bytes.len() {
            32 => Ed25519KeyPair::from_seed_unchecked(&bytes),
            64 => {
                let (seed, public) = bytes.split_at_checked(32)?;
                Ed25519KeyPair::from_seed_and_public_key(seed, public)
            }
            _ => return None,
        };
        Some(Self::EdDsa(Box::new(pair.ok()?)))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).ok().map(|tag| tag.as_ref().to_vec()),
            Self::EdDsa(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// A token with these parts, in its compact form.
    fn token(&self, header: &str, claims: &str) -> Option<String> {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes())?);
        Some(format!("{message}.{signature}"))
    }
}

/// The token for one request.
fn token(account: &Account, outside: &Outside<'_>, path: &str) -> Option<SecretString> {
    let key = account.secret("apiSecret").and_then(SigningKey::read)?;
    let name = account.secret("apiKey")?.expose_secret();
    let now = outside.provider_now().as_second();
    let nonce = outside.random_hex::<16>();
    let header = json!({ "alg": key.algorithm(), "kid": name, "typ": "JWT", "nonce": nonce });
    let uri = format!("GET {HOST}{path}");
    let claims = json!({ "sub": name, "iss": "cdp", "nbf": now, "exp": now + LIFE, "uri": uri });
    key.token(&header.to_string(), &claims.to_string()).map(SecretString::from)
}

async fn get<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    path: &str,
    query: &str,
) -> Result<T, Trouble> {
    let token = token(account, outside, path)
        .ok_or_else(|| Trouble::InvalidCredentials("The stored private key cannot be read. Give it again.".into()))?;
    let separator = if query.is_empty() { "" } else { "?" };
    let request = outside.get(Upstream::Coinbase, &format!("{path}{separator}{query}")).bearer(&token);
    read(&outside.send(NAME, request).await?, outside)
}

fn read<T: DeserializeOwned>(answer: &Answer, outside: &Outside<'_>) -> Result<T, Trouble> {
    match answer.status {
        200 => answer.json().ok_or_else(|| Trouble::unreadable(NAME)),
        401 if is_skewed(answer, outside) => Err(Trouble::ClockSkew(NAME)),
        401 => Err(Trouble::InvalidCredentials(
            "Coinbase refuses this key: the name and the private key do not belong together, the key was deleted, or its \
             IP allowlist is not empty."
                .into(),
        )),
        403 if is_about_the_key(answer) => Err(Trouble::InsufficientPermissions(
            "The key may not read this, or not from this address. Make one with View ticked and an empty IP allowlist."
                .into(),
        )),
        403 => Err(Trouble::RegionBlocked(
            "Coinbase does not let this server in just now (HTTP 403). That says nothing of the key.".into(),
        )),
        _ => Err(Trouble::of_answer(NAME, answer)),
    }
}

/// What Coinbase says where it is its API that refuses: a list in the second version, one word in the third.
#[derive(Deserialize)]
struct Reasons {
    #[serde(default)]
    errors: Vec<Reason>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    id: String,
}

/// True if an answer refuses for what the key may do.
fn is_about_the_key(answer: &Answer) -> bool {
    let Some(reasons) = answer.json::<Reasons>() else { return false };
    let named = reasons.errors.iter().map(|reason| reason.id.as_str()).chain(reasons.error.as_str());
    named.map(str::to_lowercase).any(|name| name.contains("scope") || name.contains("permission"))
}

/// True if the answer's clock and what we take for the provider's are far apart.
fn is_skewed(answer: &Answer, outside: &Outside<'_>) -> bool {
    let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    date.is_some_and(|date| date.timestamp().duration_since(outside.provider_now()).abs() > SKEW)
}

#[cfg(test)]
mod tests {
    use fakes::exchanges::coinbase::Coinbase as Fake;

    use super::*;
    use crate::providers::testing::World;

    const NOW: i64 = 1_780_000_000;
    const KEY: &str = "organizations/o/apiKeys/k";

    fn account(key: &str, secret: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret }).as_object().unwrap().clone();
        Coinbase.account(&Given { credentials, ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.set_clock(NOW);
        let secret = fake.add_es256_key(KEY, &["view"]);
        let world = World::of(&[("COINBASE", fake.host.origin())]);
        (fake, world, account(KEY, &secret))
    }

    /// RFC 8037, appendix A.
    #[test]
    fn a_published_token_comes_out() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::read(&SecretString::from(STANDARD.encode(seed))).unwrap();
        assert_eq!(
            key.token(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing").unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn what_is_no_private_key_is_refused() {
        for secret in ["x", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", "AAAA"] {
            let credentials = json!({ "apiKey": "k", "apiSecret": secret }).as_object().unwrap().clone();
            let problems = Coinbase.account(&Given { credentials, ..Given::default() }).unwrap_err();
            assert_eq!(problems[0].field, "credentials.apiSecret");
        }
    }

    #[tokio::test]
    async fn keys_of_both_kinds_are_judged() {
        let (fake, world, good) = start().await;
        let checked = Coinbase.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.is_some(), checked.warnings.len()), (true, 0));
        // A form may send the lines of a PEM file as `\n`.
        let secret = fake.add_es256_key("lines", &["view"]).replace('\n', "\\n");
        Coinbase.check(&account("lines", &secret), &world.outside()).await.unwrap();
        let secret = fake.add_ed25519_key("rich", &["view", "trade", "transfer"]);
        let rich = account("rich", &secret);
        assert_eq!(Coinbase.check(&rich, &world.outside()).await.unwrap().warnings.len(), 2);
        let poor = account("poor", &fake.add_ed25519_key("poor", &["trade"]));
        let trouble = Coinbase.check(&poor, &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        let trouble = Coinbase.check(&account(KEY, &secret), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InvalidCredentials(_)), "{trouble}");
    }

    #[tokio::test]
    async fn a_whole_history_is_walked_and_then_only_what_is_new() {
        let (fake, world, account) = start().await;
        for number in 0..120 {
            fake.open_account(&format!("account-{number}"));
        }
        for number in 0..250 {
            fake.transact("account-7", "receive", NOW - 10_000 + number, ("0.5", "BTC"), "completed");
        }
        fake.fill("account-9", "account-119", NOW - 50, ("-100", "USD"), ("0.001", "BTC"), "0.6");
        fake.transact("account-3", "staking_reward", NOW - 40, ("0.01", "ETH"), "completed");
        let waiting = fake.transact("account-3", "send", NOW - 30, ("-1", "ETH"), "pending");
        fake.transact("account-3", "send", NOW - 20, ("-2", "ETH"), "completed");
        fake.transact("account-3", "send", NOW - 10, ("-3", "ETH"), "failed");
        let (records, end) = world.walk(&Coinbase, &account, None).await.unwrap();
        let of = |kind| records.iter().filter(|record| record.kind == kind).count();
        assert_eq!((of(RecordKind::Deposit), of(RecordKind::Withdrawal)), (250, 1));
        assert_eq!((of(RecordKind::Trade), of(RecordKind::Reward)), (2, 1));
        let fees: Vec<&Amount> = records.iter().filter_map(|record| record.fee.as_ref()).collect();
        assert_eq!(fees, [&Amount::of(Quantity::parse("0.6").unwrap(), "USD").unwrap()]);
        fake.settle(&waiting);
        fake.transact("account-7", "receive", NOW, ("0.5", "BTC"), "completed");
        let (records, _) = world.walk(&Coinbase, &account, end).await.unwrap();
        let ids: Vec<&str> = records.iter().map(|record| record.provider_id.as_str()).collect();
        assert!(ids.contains(&waiting.as_str()), "what was under way is seen when it is done");
        assert_eq!(records.len(), 3, "and what came after it is given once more");
    }

    /// The table of types of docs.cdp.coinbase.com ("Transactions"), and those that clients have met besides.
    #[test]
    fn what_a_transaction_is_its_type_says_and_which_way_it_went_its_sign() {
        use RecordKind::{Conversion, Deposit, Ledger, Reward, Trade, Withdrawal};
        for (names, expected) in [
            (&["receive", "send", "request", "fiat_deposit", "intx_withdrawal"][..], [Deposit, Withdrawal]),
            (&["exchange_deposit", "exchange_withdrawal", "pro_deposit", "pro_withdrawal"], [Deposit, Withdrawal]),
            (&["fiat_withdrawal", "intx_deposit", "prime_withdrawal"], [Deposit, Withdrawal]),
            (&["buy", "sell", "advanced_trade_fill"], [Trade, Trade]),
            (&["trade", "wrap_asset", "unwrap_asset", "retail_simple_dust"], [Conversion, Conversion]),
            (&["staking_reward", "inflation_reward", "interest", "earn_payout"], [Reward, Ledger]),
            (&["incentives_rewards_payout", "subscription_rebate"], [Reward, Ledger]),
            (&["transfer", "vault_withdrawal", "staking_transfer", "unstaking_transfer"], [Ledger, Ledger]),
            (&["clawback", "derivatives_settlement", "subscription", "tx", "something_new"], [Ledger, Ledger]),
        ] {
            for name in names {
                assert_eq!([kind(name, false), kind(name, true)], expected, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn what_comes_in_is_received_and_what_goes_to_the_exchange_is_sent_without_the_networks_fee() {
        let (fake, world, account) = start().await;
        fake.open_account("btc");
        fake.open_account("usd");
        fake.transact("btc", "receive", NOW - 50, ("0.5", "BTC"), "completed");
        fake.send_on_chain("btc", NOW - 40, ("-0.00133", "BTC"), "0.00033");
        fake.transact("usd", "exchange_deposit", NOW - 30, ("-100", "USD"), "completed");
        fake.transact("usd", "pro_withdrawal", NOW - 20, ("40", "USD"), "completed");
        let (records, _) = world.walk(&Coinbase, &account, None).await.unwrap();
        let amount = |text: &str, asset: &str| Amount::of(Quantity::parse(text).unwrap(), asset);
        let told: Vec<_> = records.into_iter().map(|one| (one.kind, one.sent, one.received, one.fee)).collect();
        assert_eq!(
            told,
            [
                (RecordKind::Deposit, None, amount("0.5", "BTC"), None),
                (RecordKind::Withdrawal, amount("0.001", "BTC"), None, amount("0.00033", "BTC")),
                (RecordKind::Withdrawal, amount("100", "USD"), None, None),
                (RecordKind::Deposit, None, amount("40", "USD"), None),
            ]
        );
    }

    #[tokio::test]
    async fn a_page_that_is_not_coinbases_own_says_nothing_of_the_key() {
        let (fake, world, account) = start().await;
        let wall = fakes::Answer::status(403).body("<html>Attention Required! | Cloudflare</html>");
        fake.host.faults().next(1, fakes::Fault::Answer(wall));
        let trouble = Coinbase.check(&account, &world.outside()).await.unwrap_err();
        assert_eq!((trouble.verdict(), trouble.is_final()), ("inconclusive", false), "{trouble}");
        let refused = fakes::Answer::status(403).json(&json!({ "error": "PERMISSION_DENIED", "message": "no" }));
        fake.host.faults().next(1, fakes::Fault::Answer(refused));
        assert_eq!(Coinbase.check(&account, &world.outside()).await.unwrap_err().verdict(), "limited");
    }

    #[tokio::test]
    async fn what_was_read_before_trouble_came_is_kept() {
        let (fake, world, account) = start().await;
        for id in ["one", "two", "three"] {
            fake.open_account(id);
            fake.transact(id, "receive", NOW - 50, ("1", "ETH"), "completed");
        }
        let Next::More(listed) = world.page(&Coinbase, &account, None).await.unwrap().next else { panic!("ended") };
        fake.host.faults().next_on("/two/", 1, fakes::Fault::Answer(fakes::Answer::status(502)));
        let page = world.page(&Coinbase, &account, Some(&listed)).await.unwrap();
        assert_eq!(page.records.len(), 1);
        fake.host.forget_requests();
        let (records, _) = world.walk(&Coinbase, &account, page.next.cursor().cloned()).await.unwrap();
        assert_eq!((records.len(), fake.host.calls("/one/")), (2, 0), "nothing was asked for twice");
    }

    #[tokio::test]
    async fn a_clock_that_is_off_heals_and_limits_are_kept() {
        let (fake, world, account) = start().await;
        for off in [3_600, -3_600, -45, -5] {
            fake.set_clock(NOW + off);
            world.page(&Coinbase, &account, None).await.unwrap();
        }
        fake.set_clock(NOW);
        fake.throttle(1, 11.0);
        let trouble = world.page(&Coinbase, &account, None).await.unwrap_err();
        assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: std::time::Duration::from_secs(11) });
        fake.revoke(KEY);
        assert!(world.page(&Coinbase, &account, None).await.unwrap_err().is_final());
    }
}
