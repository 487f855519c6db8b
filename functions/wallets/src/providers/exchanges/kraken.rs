//! Kraken's spot account, asked with an API key.
//!
//! # How a history is walked
//! `POST /0/private/Ledgers` gives every movement of the account, 50 entries a page, newest first, with the number of all
//! of them. A walk fixes its `end` when it begins, so that what comes in meanwhile does not shift the pages, and goes on
//! by offset. The next walk starts an hour before that end.
//!
//! One event has several entries, its legs, which share a `refid`: a trade takes one asset and gives another. They are
//! one record. A deposit or a withdrawal that failed is booked back, amount and fee, under the same `refid` minutes or days
//! later, when the first booking was stored long ago: what is booked back is a record of its own. Legs lie next to each
//! other but a page may end between them, so the oldest events of a page are kept in the cursor until the next page shows
//! that they are whole. The number of records is known only at the end; until then it is reckoned from the number of
//! entries.
//!
//! Every call needs a nonce that is higher than all before it. Calls add to a counter that empties slowly (15 at most, a
//! ledger call adds 2, a third of a point goes each second for the smallest accounts); it is reckoned along here, so that
//! the limit is waited for and not run into. Answers are 200 whatever happens; troubles are in `error`.
//!
//! Facts: docs.kraken.com, "Spot REST authentication", "Get Ledgers Info", "Get API Key Info", "Rate limits".

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::egress::Upstream;
use shared::http::FieldProblem;

use super::legs::{Kept, Leg};
use super::signing::{Hash, base64, decoded, hmac_with, sha256};
use crate::model::{Category, Quantity, RecordKind};
use crate::providers::{Account, Checked, Cursor, Entry, Fetched, Field, Given, Next, Outside, Source, Trouble};

const NAME: &str = "Kraken";
const PAGE: usize = 50;
/// What came in so shortly before a walk may not be in the ledger yet; the next walk looks at it again.
const OVERLAP_SECONDS: i64 = 3_600;
/// The counter of calls, in thousandths: where the limit is, and how many milliseconds take one off.
const COUNTER_LIMIT: i64 = 15_000;
const COUNTER_DECAY_MS: i64 = 3;

/// Kraken in the catalogue.
pub static ENTRY: Entry = Entry {
    id: "kraken",
    public_name: NAME,
    category: Category::Exchange,
    logo_url: "https://assets.coingecko.com/markets/images/29/large/kraken.jpg",
    sources: &[&Kraken],
    chains: &[],
    takes_csv: true,
    instructions: "On Kraken Pro open Settings, API, Create API key. Tick Query Ledger Entries, under Data, and nothing \
        else: leave everything under Orders and Trades that creates or cancels unticked, and Withdraw too. Do not \
        restrict addresses, set no expiry, and use the key for this service only, because each call must carry a higher \
        number than the one before.",
};

const FIELDS: &[Field] = &[
    Field::secret("apiKey", "API key", "Shown under API key when the key is created."),
    Field::secret("apiSecret", "Private key", "Shown once, beside the API key. It is base64 and ends in ==."),
];

/// Kraken's spot account.
pub struct Kraken;

#[async_trait::async_trait]
impl Source for Kraken {
    fn name(&self) -> &'static str {
        "kraken"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn accepted(&self) -> &'static str {
        "an API key of Kraken"
    }

    fn account(&self, given: &Given) -> Result<Account, Vec<FieldProblem>> {
        let account = given.credentials(FIELDS)?;
        match account.secret("apiSecret").and_then(decoded) {
            Some(key) if !key.is_empty() => Ok(account),
            _ => Err(vec![FieldProblem::new("credentials.apiSecret", "value", "must be base64, as Kraken shows it")]),
        }
    }

    async fn check(&self, account: &Account, outside: &Outside<'_>) -> Result<Checked, Trouble> {
        let info: KeyInfo = call(account, outside, "GetApiKeyInfo", 1, &[]).await?;
        // Whether the ledger may be read is best known by reading it.
        let _: Ledgers = call(account, outside, "Ledgers", 2, &[]).await?;
        Ok(Checked { account_id: info.iban.clone(), warnings: info.warnings(outside.now()), is_contract: false })
    }

    async fn page(
        &self,
        account: &Account,
        cursor: Option<&Cursor>,
        outside: &Outside<'_>,
    ) -> Result<Fetched, Trouble> {
        let walk = match cursor.and_then(Cursor::read::<Position>) {
            Some(Position::Walking(walk)) => walk,
            Some(Position::Done { until }) => Walk::new(Some(until.saturating_sub(OVERLAP_SECONDS)), outside),
            None => Walk::new(None, outside),
        };
        let (offset, end) = (walk.offset.to_string(), walk.end.to_string());
        let start = walk.start.map(|start| start.to_string());
        let mut fields = vec![("ofs", offset.as_str()), ("end", end.as_str())];
        fields.extend(start.as_deref().map(|start| ("start", start)));
        let page: Ledgers = call(account, outside, "Ledgers", 2, &fields).await?;
        walk.take(page)
    }
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    /// In the middle of a walk.
    Walking(Walk),
    /// At the end of one that saw everything until this second.
    Done { until: i64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    /// Seconds; what is older was seen before.
    start: Option<i64>,
    /// Seconds; what is newer is left for the next walk.
    end: i64,
    /// How many entries were read.
    offset: usize,
    /// How many records they made.
    records: usize,
    /// Legs of events that may have more on the next page.
    kept: Kept,
}

impl Walk {
    fn new(start: Option<i64>, outside: &Outside<'_>) -> Self {
        let end = outside.provider_now().as_second();
        Self { start, end, offset: 0, records: 0, kept: Kept::default() }
    }

    /// Takes in a page: gives the events that are whole and keeps the others.
    fn take(mut self, page: Ledgers) -> Result<Fetched, Trouble> {
        let read = page.ledger.len();
        self.offset += read;
        let is_last = read < PAGE || page.count.is_some_and(|count| count <= self.offset);
        let legs = page.ledger.into_iter().map(|(id, entry)| entry.leg(&id));
        let records = self.kept.take_in(legs, is_last).ok_or_else(|| Trouble::unreadable(NAME))?;
        self.records += records.len();
        let settled = self.offset.saturating_sub(self.kept.len());
        let expected = page.count.filter(|_| settled > 0).map(|count| (count * self.records).div_ceil(settled));
        let next = if is_last {
            Next::End(Some(Cursor::of(&Position::Done { until: self.end })))
        } else {
            Next::More(Cursor::of(&Position::Walking(self)))
        };
        Ok(Fetched { records, next, expected: expected.and_then(|expected| u64::try_from(expected).ok()) })
    }
}

#[derive(Deserialize)]
struct Ledgers {
    #[serde(default)]
    ledger: BTreeMap<String, LedgerEntry>,
    count: Option<usize>,
}

#[derive(Deserialize)]
struct LedgerEntry {
    refid: String,
    time: f64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subtype: String,
    asset: String,
    amount: String,
    fee: String,
}

impl LedgerEntry {
    fn leg(self, id: &str) -> Option<Leg> {
        let (kind, amount) = (record_kind(&self.kind, &self.subtype), Quantity::parse(&self.amount)?);
        Some(Leg {
            kind,
            time: Timestamp::from_duration(SignedDuration::try_from_secs_f64(self.time).ok()?).ok()?,
            reference: reference(kind, &amount, &self.refid, id),
            amount,
            fee: Quantity::parse(&self.fee)?,
            asset: self.asset,
        })
    }
}

/// What names the event of the entry `id`: its `refid`, and for a deposit or a withdrawal that is booked back the entry too.
pub(crate) fn reference(kind: RecordKind, amount: &Quantity, refid: &str, id: &str) -> String {
    let is_booked_back = match kind {
        RecordKind::Deposit => amount.is_negative(),
        RecordKind::Withdrawal => !amount.is_negative() && !amount.is_zero(),
        _ => false,
    };
    if is_booked_back { format!("{refid}/{id}") } else { refid.to_owned() }
}

/// What an entry of this type and subtype is.
pub(crate) fn record_kind(kind: &str, subtype: &str) -> RecordKind {
    match (kind, subtype) {
        ("trade", _) => RecordKind::Trade,
        ("deposit", _) => RecordKind::Deposit,
        ("withdrawal", _) => RecordKind::Withdrawal,
        ("spend" | "receive" | "sale" | "conversion", _) => RecordKind::Conversion,
        ("staking" | "reward" | "dividend" | "credit", _) | ("earn", "reward") => RecordKind::Reward,
        ("rollover", _) => RecordKind::Fee,
        _ => RecordKind::Ledger,
    }
}

/// Older answers had names with underscores.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyInfo {
    #[serde(default)]
    permissions: Vec<String>,
    /// The account's public name.
    #[serde(default)]
    iban: Option<String>,
    /// Seconds, as text or number; nought for ever.
    #[serde(default, alias = "valid_until")]
    valid_until: Value,
    /// Of which time the ledger may be read: seconds as well; nought for all.
    #[serde(default, alias = "query_from")]
    query_from: Value,
    #[serde(default, alias = "query_to")]
    query_to: Value,
}

/// A moment of a key's, if there is one.
fn moment(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds > 0);
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok())
}

impl KeyInfo {
    fn warnings(&self, now: Timestamp) -> Vec<String> {
        let may = |parts: &[&str]| self.permissions.iter().any(|one| parts.iter().any(|part| one.contains(part)));
        let mut warnings = Vec::new();
        if may(&["withdraw"]) {
            warnings.push("This key may withdraw funds. Make one that has only Query Ledger Entries.".to_owned());
        }
        if may(&["modify-trades", "close-trades", "create", "cancel"]) {
            warnings.push("This key may trade. Make one that has only Query Ledger Entries.".to_owned());
        }
        if let Some(end) = moment(&self.valid_until).filter(|end| *end > now) {
            warnings.push(format!("This key runs out on {}.", end.strftime("%Y-%m-%d")));
        }
        if moment(&self.query_from).is_some() || moment(&self.query_to).is_some() {
            warnings.push(
                "This key may read a part of the ledger only: its query start or end date is set. What lies outside is not \
                 in the history. Make one without these dates."
                    .into(),
            );
        }
        warnings
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    error: Vec<String>,
    result: Option<T>,
}

/// Calls a private method that adds `cost` to the counter.
async fn call<T: DeserializeOwned>(
    account: &Account,
    outside: &Outside<'_>,
    method: &str,
    cost: i64,
    fields: &[(&str, &str)],
) -> Result<T, Trouble> {
    count(outside, cost * 1_000)?;
    let path = format!("/0/private/{method}");
    let nonce = outside.nonce(u64::try_from(outside.now().as_millisecond()).unwrap_or_default());
    let mut body = format!("nonce={nonce}");
    for (name, value) in fields {
        body.push_str(&format!("&{name}={value}"));
    }
    let signature = sign(account.secret("apiSecret"), &path, nonce, &body).ok_or_else(|| {
        Trouble::InvalidCredentials("The private key is not in the form that Kraken shows it.".into())
    })?;
    let key = account.secret("apiKey").cloned().unwrap_or_default();
    let request = outside
        .request(Method::POST, Upstream::Kraken, &path)
        .secret_header("api-key", &key)
        .header("api-sign", &signature)
        .body("application/x-www-form-urlencoded", body.into());
    let answer = outside.send(NAME, request).await?;
    if !answer.is_success() {
        return Err(Trouble::of_answer(NAME, &answer));
    }
    let envelope: Envelope<T> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
    match envelope.error.iter().find(|error| error.starts_with('E')) {
        Some(error) => Err(trouble(error, outside.now())),
        None => envelope.result.ok_or_else(|| Trouble::unreadable(NAME)),
    }
}

/// HMAC-SHA512 over the path and the SHA-256 of the nonce and the body, under the decoded private key.
fn sign(secret: Option<&SecretString>, path: &str, nonce: u64, body: &str) -> Option<String> {
    let key = decoded(secret?)?;
    let mut message = path.as_bytes().to_vec();
    message.extend(sha256(format!("{nonce}{body}").as_bytes()));
    Some(base64(&hmac_with(Hash::Sha512, &key, &message)))
}

/// Reckons Kraken's counter along; waits where the limit would be passed.
fn count(outside: &Outside<'_>, cost: i64) -> Result<(), Trouble> {
    let now = outside.now().as_millisecond();
    let before = outside.note("counter").and_then(|note| {
        let (value, at) = note.split_once('@')?;
        Some((value.parse::<i64>().ok()?, at.parse::<i64>().ok()?))
    });
    let (value, at) = before.unwrap_or((0, now));
    let gone = now.saturating_sub(at).max(0).div_euclid(COUNTER_DECAY_MS);
    let after = value.saturating_sub(gone).max(0) + cost;
    if after > COUNTER_LIMIT {
        let milliseconds = (after - COUNTER_LIMIT).saturating_mul(COUNTER_DECAY_MS);
        let for_ = Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
        return Err(Trouble::Wait { provider: NAME, for_ });
    }
    outside.set_note("counter", format!("{after}@{now}"));
    Ok(())
}

fn trouble(error: &str, now: Timestamp) -> Trouble {
    let wait = |seconds| Trouble::Wait { provider: NAME, for_: Duration::from_secs(seconds) };
    if let Some(until) = error.strip_prefix("EService:").and_then(|rest| rest.trim().strip_prefix("Throttled:")) {
        let until = until.trim().parse::<i64>().unwrap_or_default();
        return wait(u64::try_from(until.saturating_sub(now.as_second())).unwrap_or_default().clamp(1, 900));
    }
    match error {
        "EAPI:Invalid key" => Trouble::InvalidCredentials(
            "Kraken does not know this API key: it is mistyped, was deleted or has run out. Make a new one.".into(),
        ),
        "EAPI:Invalid signature" => {
            Trouble::of_field("apiSecret", "The private key does not belong to this API key. Copy both again.")
        }
        "EGeneral:Permission denied" => Trouble::InsufficientPermissions(
            "The API key may not read the ledger, or not from this address. In Kraken's settings tick Query Ledger \
             Entries and do not restrict addresses."
                .into(),
        ),
        "EAPI:Invalid nonce" => Trouble::NonceTooLow(NAME),
        "EAPI:Rate limit exceeded" => wait(15),
        "EGeneral:Temporary lockout" => wait(900),
        _ if error.starts_with("EService:") || error.starts_with("EGeneral:Internal") => {
            Trouble::ProviderDown("Kraken has trouble of its own, or is being maintained.".into())
        }
        _ => Trouble::Unexpected("Kraken refused the request in an unexpected way.".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fakes::exchanges::kraken::{Kraken as Fake, KrakenKey};
    use serde_json::json;

    use super::*;
    use crate::model::{Amount, Record};
    use crate::providers::testing::World;

    const SECRET: &str = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";

    fn account(key: &str, secret: &str) -> Account {
        let credentials = json!({ "apiKey": key, "apiSecret": secret }).as_object().unwrap().clone();
        Kraken.account(&Given { credentials, ..Given::default() }).unwrap()
    }

    async fn start() -> (Fake, World, Account) {
        let fake = Fake::start().await.unwrap();
        fake.add_key(KrakenKey::reading("k", SECRET));
        let world = World::of(&[("KRAKEN", fake.host.origin())]);
        (fake, world, account("k", SECRET))
    }

    #[test]
    fn a_private_key_that_is_no_base64_is_refused_before_anything_is_asked() {
        let credentials = json!({ "apiKey": "k", "apiSecret": "not base64!" }).as_object().unwrap().clone();
        let problems = Kraken.account(&Given { credentials, ..Given::default() }).unwrap_err();
        assert_eq!(problems[0].field, "credentials.apiSecret");
    }

    #[tokio::test]
    async fn a_key_is_judged() {
        let (fake, world, good) = start().await;
        let checked = Kraken.check(&good, &world.outside()).await.unwrap();
        assert_eq!((checked.account_id.as_deref(), checked.warnings.len()), (Some("AA25 N84G K54M ICNB"), 0));
        fake.add_key(KrakenKey {
            permissions: vec!["query-ledger", "modify-trades", "withdraw-funds"],
            ..KrakenKey::reading("rich", SECRET)
        });
        let checked = Kraken.check(&account("rich", SECRET), &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        for dates in [[1_790_000_000, 0, 0], [0, 1_600_000_000, 0], [0, 0, 1_700_000_000]] {
            let [valid_until, query_from, query_to] = dates;
            let name = format!("{dates:?}");
            fake.add_key(KrakenKey { valid_until, query_from, query_to, ..KrakenKey::reading(&name, SECRET) });
            let checked = Kraken.check(&account(&name, SECRET), &world.outside()).await.unwrap();
            let word = if valid_until > 0 { "2026-09-21" } else { "part of the ledger" };
            assert!(matches!(&checked.warnings[..], [warning] if warning.contains(word)), "{dates:?} {checked:?}");
        }
        fake.add_key(KrakenKey { permissions: vec!["query-funds"], ..KrakenKey::reading("poor", SECRET) });
        let trouble = Kraken.check(&account("poor", SECRET), &world.outside()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::InsufficientPermissions(_)), "{trouble}");
        for wrong in [account("unknown", SECRET), account("k", "AAAA")] {
            let trouble = Kraken.check(&wrong, &world.outside()).await.unwrap_err();
            assert!(trouble.is_invalid(), "{trouble}");
        }
    }

    #[tokio::test]
    async fn legs_are_one_record_even_across_pages_and_the_next_walk_brings_only_what_is_new() {
        let (fake, world, account) = start().await;
        // One single entry among pairs: the first page ends between two legs.
        fake.trade("k", 1_779_000_000.25, ("ZUSD", "-100"), ("XXBT", "0.001"), "0.26");
        for number in 0..59 {
            fake.trade("k", 1_779_001_000.0 + f64::from(number) * 60.0, ("ZUSD", "-5"), ("XETH", "0.01"), "0.01");
        }
        fake.deposit("k", 1_779_900_000.0, "XXBT", "1.50");
        let first = world.page(&Kraken, &account, None).await.unwrap();
        assert!(first.expected.is_some_and(|expected| (55..=70).contains(&expected)), "{:?}", first.expected);
        let (records, end) = world.walk(&Kraken, &account, None).await.unwrap();
        let ids: HashSet<&str> = records.iter().map(|record| record.provider_id.as_str()).collect();
        assert_eq!((records.len(), ids.len()), (61, 61));
        let oldest = records.iter().min_by_key(|record| record.time).unwrap();
        assert_eq!(oldest.kind, RecordKind::Trade);
        assert_eq!(oldest.sent, Amount::of(Quantity::parse("100").unwrap(), "ZUSD"));
        assert_eq!(oldest.received, Amount::of(Quantity::parse("0.001").unwrap(), "XXBT"));
        assert_eq!(oldest.fee, Amount::of(Quantity::parse("0.26").unwrap(), "ZUSD"));
        for record in records.iter().filter(|record| record.kind == RecordKind::Trade) {
            assert!(record.sent.is_some() && record.received.is_some(), "half a trade: {record:?}");
        }
        world.clock.advance(SignedDuration::from_hours(2));
        fake.deposit("k", 1_780_003_600.0, "XXBT", "2");
        let (records, _) = world.walk(&Kraken, &account, end).await.unwrap();
        assert_eq!(records.len(), 1);
    }

    #[tokio::test]
    async fn a_withdrawal_that_failed_is_given_back_whenever_that_is_seen() {
        let (fake, world, account) = start().await;
        let amount = |text: &str| Amount::of(Quantity::parse(text).unwrap(), "ZEUR");
        let told = |record: &Record| (record.kind, record.sent.clone(), record.received.clone(), record.fee.clone());
        let debit = (RecordKind::Withdrawal, amount("4.91"), None, amount("0.09"));
        let credit = (RecordKind::Withdrawal, None, amount("5"), None);
        let refid = fake.withdraw("k", 1_779_000_000.0, "ZEUR", "-4.91", "0.09");
        let (before, end) = world.walk(&Kraken, &account, None).await.unwrap();
        assert_eq!(before.iter().map(told).collect::<Vec<_>>(), std::slice::from_ref(&debit));
        fake.book_back(&refid, 1_779_999_900.0);
        world.clock.advance(SignedDuration::from_secs(10));
        let (after, _) = world.walk(&Kraken, &account, end).await.unwrap();
        assert_eq!(after.iter().map(told).collect::<Vec<_>>(), std::slice::from_ref(&credit));
        assert_ne!(after[0].provider_id, before[0].provider_id, "or it would be taken for the same record");
        // On one page, and at the same moment.
        let refid = fake.withdraw("k", 1_779_999_950.0, "ZEUR", "-4.91", "0.09");
        fake.book_back(&refid, 1_779_999_950.0);
        world.clock.advance(SignedDuration::from_secs(10));
        let (all, _) = world.walk(&Kraken, &account, None).await.unwrap();
        let of = |wanted: &(RecordKind, _, _, _)| all.iter().filter(|record| told(record) == *wanted).count();
        assert_eq!((all.len(), of(&debit), of(&credit)), (4, 2, 2));
    }

    #[tokio::test]
    async fn troubles_are_told_apart() {
        let (fake, world, account) = start().await;
        for (error, expected) in [
            ("EAPI:Rate limit exceeded", Trouble::Wait { provider: NAME, for_: Duration::from_secs(15) }),
            ("EService: Throttled: 1780000007", Trouble::Wait { provider: NAME, for_: Duration::from_secs(7) }),
            (
                "EService:Unavailable",
                Trouble::ProviderDown("Kraken has trouble of its own, or is being maintained.".into()),
            ),
        ] {
            fake.refuse_next(error);
            assert_eq!(world.page(&Kraken, &account, None).await.unwrap_err(), expected);
        }
        fake.refuse_next("EAPI:Invalid nonce");
        world.page(&Kraken, &account, None).await.unwrap();
        fake.revoke("k");
        assert!(world.page(&Kraken, &account, None).await.unwrap_err().is_final());
    }

    #[tokio::test]
    async fn the_counter_of_calls_is_not_overrun() {
        let (fake, world, account) = start().await;
        let outside = world.outside();
        for _ in 0..7 {
            Kraken.page(&account, None, &outside).await.unwrap();
        }
        let trouble = Kraken.page(&account, None, &outside).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Wait { for_, .. } if for_ < Duration::from_secs(4)), "{trouble:?}");
        assert_eq!(fake.host.calls("Ledgers"), 7);
        world.clock.advance(SignedDuration::from_secs(4));
        Kraken.page(&account, None, &outside).await.unwrap();
    }
}
