//! Against the fake, from the first page to what arrives meanwhile.

use std::collections::BTreeMap;

use fakes::solana::{FEE, RENT, Solana as Fake, TOKEN_2022_PROGRAM, TOKEN_PROGRAM};
use proptest::prelude::*;

use super::effect::WRAPPED_SOL;
use super::*;
use crate::model::{Amount, Quantity, RecordKind};
use crate::providers::testing::World;

/// On the curve, like every address with a private key.
const WALLET: &str = "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs12";
const FRIEND: &str = "q5xfHVuAsGmKRTmJNshERHHkVnHKxRX3cKzz5cYnFRn";
/// Off it: the example of a program's address that the first client library is tested with.
const OFF_CURVE: &str = "12rqwuEgBYiGhBrDJStCiqEtzQpTTiZbh7teNVLuYcFA";
const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

fn given(address: &str) -> Given {
    Given { address: Some(address.to_owned()), chains: vec![CHAIN.to_owned()], ..Given::default() }
}

fn account(address: &str) -> Account {
    Solana.account(&given(address)).unwrap()
}

async fn start() -> (Fake, World, Account) {
    let fake = Fake::start().await.unwrap();
    let world = World::of(&[("SOLANA_RPC", fake.host.origin())]);
    (fake, world, account(WALLET))
}

fn ids(records: &[Record]) -> HashSet<&str> {
    records.iter().map(|record| record.provider_id.as_str()).collect()
}

fn sol(lamports: u64) -> Option<Amount> {
    Amount::of(Quantity::of_units(lamports.into(), 9), "SOL")
}

#[test]
fn addresses_are_told_from_others() {
    for good in [WALLET, FRIEND, OFF_CURVE, WRAPPED_SOL, "11111111111111111111111111111111"] {
        assert_eq!(account(good).address(), good);
    }
    assert_eq!(account(WALLET).identities, [format!("{CHAIN}:{WALLET}")]);
    for bad in [
        "",
        // 31 and 33 bytes.
        "1111111111111111111111111111111",
        "111111111111111111111111111111111",
        // Not letters of base58.
        "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs0O",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    ] {
        assert_eq!(Solana.account(&given(bad)).unwrap_err()[0].field, "address", "{bad}");
    }
}

#[test]
fn a_private_key_is_refused_and_never_repeated() {
    let key = bs58::encode([7_u8; 64]).into_string();
    let problems = Solana.account(&given(&key)).unwrap_err();
    assert!(problems[0].message.contains("PRIVATE") && !problems[0].message.contains(&key));
}

#[test]
fn points_of_the_curve_are_told_from_others() {
    let on = |address: &str| is_on_curve(parse_address(address).unwrap());
    // The last two: the examples of RFC 8032, section 7.1.
    let keys = [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ];
    let keys = keys.map(|key| {
        let bytes = (0..32).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap());
        bs58::encode(bytes.collect::<Vec<u8>>()).into_string()
    });
    for good in [WALLET, FRIEND, "11111111111111111111111111111111", &keys[0], &keys[1]] {
        assert!(on(good), "{good}");
    }
    for off in [OFF_CURVE, "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs14"] {
        assert!(!on(off), "{off}");
    }
    let share = (0..100).filter(|number| on(&Fake::address(&format!("anything {number}")))).count();
    assert!((25..75).contains(&share), "about half of all numbers are: {share}");
}

#[tokio::test]
async fn an_address_is_judged() {
    let (fake, world, wallet) = start().await;
    let check = async |account: &Account| Solana.check(account, &world.outside()).await.unwrap();
    assert_eq!(check(&wallet).await, Checked::default(), "an address that was never used is good");
    fake.receive(WALLET, 1);
    assert_eq!(check(&wallet).await, Checked::default());
    let warnings = check(&account(OFF_CURVE)).await.warnings;
    assert!(matches!(&warnings[..], [warning] if warning.contains("not on the curve")), "{warnings:?}");
    fake.deploy(FRIEND);
    assert_eq!(check(&account(FRIEND)).await, Checked { is_contract: true, ..Checked::default() });
    for program in [TOKEN_PROGRAM, TOKEN_2022_PROGRAM] {
        let tokens = fake.open(FRIEND, WALLET, program, 6, program);
        let warnings = check(&account(&tokens)).await.warnings;
        assert!(matches!(&warnings[..], [warning] if warning.contains(WALLET)), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_history_is_that_of_the_address_and_of_its_token_accounts() {
    let (fake, world, wallet) = start().await;
    fake.receive_many(WALLET, 230);
    let old = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
    let new = fake.open(FRIEND, WALLET, &Fake::address("mint"), 2, TOKEN_2022_PROGRAM);
    let strangers = fake.open(FRIEND, FRIEND, USDC, 6, TOKEN_PROGRAM);
    let quiet = fake.receive_token(&old, 1_500_000);
    for _ in 0..120 {
        fake.receive_token(&new, 250);
    }
    fake.receive_token(&strangers, 1);
    let sent = fake.send_token(&old, 500_000);
    let (records, end) = world.walk(&Solana, &wallet, None).await.unwrap();
    assert_eq!(ids(&records).len(), 230 + 2 + 1 + 120 + 1);
    let of = |id: &str| records.iter().find(|record| record.provider_id == id).unwrap();
    let usdc = |units| Amount::of(Quantity::of_units(units, 6), "USDC");
    assert_eq!((of(&quiet).kind, &of(&quiet).received), (RecordKind::TokenTransfer, &usdc(1_500_000)));
    assert_eq!((&of(&sent).sent, &of(&sent).fee), (&usdc(500_000), &sol(FEE)), "{:?}", of(&sent));
    assert!(records.iter().filter(|record| record.provider_id == sent).all(|record| record == of(&sent)));
    // Two lists of accounts, one look at each of three lists, and the slot.
    fake.forget_calls();
    let (records, end) = world.walk(&Solana, &wallet, end).await.unwrap();
    assert!(records.len() < 20, "only a minute is looked at again: {}", records.len());
    assert_eq!((fake.calls("getSlot"), fake.calls("getSignaturesForAddress")), (1, 3));
    assert_eq!(fake.calls("getTokenAccountsByOwner"), 2);
    fake.receive_many(WALLET, 3);
    let fresh = fake.receive_token(&new, 1);
    let (again, _) = world.walk(&Solana, &wallet, end).await.unwrap();
    let before = ids(&records);
    let news: HashSet<&str> = ids(&again).into_iter().filter(|id| !before.contains(id)).collect();
    assert!(news.len() == 4 && news.contains(fresh.as_str()), "{news:?}");
}

#[tokio::test]
async fn what_arrives_meanwhile_is_left_to_the_next_walk_and_nothing_is_lost() {
    let (fake, world, wallet) = start().await;
    fake.receive_many(WALLET, 250);
    let tokens = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
    let mut seen: HashSet<String> = HashSet::new();
    let mut arrived = HashSet::new();
    let mut cursor = None;
    let end = loop {
        let fetched = world.page(&Solana, &wallet, cursor.as_ref()).await.unwrap();
        assert!(fetched.records.len() <= PAGE);
        let fresh = fetched.records.iter().filter(|record| seen.insert(record.provider_id.clone())).count();
        assert!(fetched.records.len() <= fresh + 1, "only the opening is on two lists");
        arrived.extend((0..7).map(|_| fake.receive(WALLET, 3)));
        match fetched.next {
            Next::More(next) => cursor = Some(next),
            Next::End(end) => break end,
        }
    };
    assert_eq!(seen.len(), 251, "what was there when the walk began");
    arrived.insert(fake.receive_token(&tokens, 5));
    let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
    seen.extend(records.into_iter().map(|record| record.provider_id));
    assert!(seen.is_superset(&arrived));
    assert_eq!(seen.len(), 251 + arrived.len());
}

/// What happens in a wallet, to its node, and to its walk.
#[derive(Debug, Clone)]
enum Event {
    Receive(usize),
    Open(usize),
    Close(usize),
    TokensArrive(usize, usize),
    /// The node answers so many questions for details and no more.
    Allow(usize),
    FallBehind(usize),
    Page,
}

fn event() -> impl Strategy<Value = Event> {
    const ACCOUNTS: std::ops::Range<usize> = 0..3;
    prop_oneof![
        (1..40_usize).prop_map(Event::Receive),
        ACCOUNTS.prop_map(Event::Open),
        ACCOUNTS.prop_map(Event::Close),
        (ACCOUNTS, 1..9_usize).prop_map(|(account, count)| Event::TokensArrive(account, count)),
        (0..30_usize).prop_map(Event::Allow),
        (0..4_usize).prop_map(Event::FallBehind),
        Just(Event::Page),
        Just(Event::Page),
        Just(Event::Page),
    ]
}

/// Lets everything happen and walks to the end; gives what the chain knows of the wallet and what came of the walks.
async fn live(events: Vec<Event>) -> (HashSet<String>, HashSet<String>) {
    let (fake, world, wallet) = start().await;
    let mut seen: BTreeMap<String, Record> = BTreeMap::new();
    let mut take = |records: Vec<Record>| {
        for record in records {
            let before = seen.entry(record.provider_id.clone()).or_insert_with(|| record.clone());
            assert_eq!(*before, record, "one transaction is always the same record");
        }
        seen.keys().cloned().collect::<HashSet<String>>()
    };
    let account = |number: usize| Fake::token_address(WALLET, &format!("mint {number}"));
    let mut cursor = None;
    for event in events {
        match event {
            Event::Receive(count) => fake.receive_many(WALLET, count),
            Event::Open(number) if !fake.is_open(&account(number)) => {
                fake.open(FRIEND, WALLET, &format!("mint {number}"), 6, TOKEN_PROGRAM);
            }
            Event::Close(number) if fake.is_open(&account(number)) => {
                fake.close(&account(number));
            }
            Event::TokensArrive(number, count) if fake.is_open(&account(number)) => {
                (0..count).for_each(|_| drop(fake.receive_token(&account(number), 1)));
            }
            Event::Open(_) | Event::Close(_) | Event::TokensArrive(..) => {}
            Event::Allow(calls) => fake.allow("getTransaction", calls, 1.0),
            Event::FallBehind(count) => fake.fall_behind(count),
            Event::Page => match world.page(&Solana, &wallet, cursor.as_ref()).await {
                Ok(fetched) => {
                    take(fetched.records);
                    cursor = match fetched.next {
                        Next::More(next) => Some(next),
                        Next::End(end) => end,
                    };
                }
                Err(trouble) => {
                    let lost = matches!(trouble, Trouble::ProviderDown(_));
                    assert!(lost || matches!(trouble, Trouble::Wait { .. }), "{trouble}");
                }
            },
        }
    }
    fake.fall_behind(0);
    fake.allow("getTransaction", usize::MAX, 1.0);
    let (records, end) = world.walk(&Solana, &wallet, cursor).await.unwrap();
    take(records);
    let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
    (fake.history(WALLET), take(records))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_meanwhile_nothing_is_lost(events in proptest::collection::vec(event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (known, seen) = runtime.block_on(live(events));
        prop_assert_eq!(known, seen);
    }
}

#[tokio::test]
async fn accounts_that_were_closed_are_read_too() {
    let (fake, world, wallet) = start().await;
    let tokens = fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
    fake.call(FRIEND, WALLET);
    let quiet = fake.receive_token(&tokens, 9);
    let closing = fake.close(&tokens);
    let (records, end) = world.walk(&Solana, &wallet, None).await.unwrap();
    assert_eq!(ids(&records).len(), 4);
    assert!(ids(&records).contains(quiet.as_str()));
    let closing = records.iter().find(|record| record.provider_id == closing).unwrap();
    assert_eq!((&closing.sent, &closing.received), (&Amount::of(Quantity::of_units(9, 6), "USDC"), &None));
    // Opened again, it is an account like any other.
    fake.open(FRIEND, WALLET, USDC, 6, TOKEN_PROGRAM);
    let quiet = fake.receive_token(&tokens, 8);
    let (records, _) = world.walk(&Solana, &wallet, end).await.unwrap();
    assert!(ids(&records).contains(quiet.as_str()));
}

#[tokio::test]
async fn whatever_was_closed_is_read_before_the_list_that_it_was_met_on_goes_on() {
    let (fake, world, wallet) = start().await;
    let mut quiet = HashSet::new();
    for number in 0..60 {
        let tokens = fake.open(FRIEND, WALLET, &Fake::address(&format!("mint {number}")), 6, TOKEN_PROGRAM);
        quiet.insert(fake.receive_token(&tokens, 9));
        fake.close(&tokens);
    }
    let mut cursor = None;
    let mut found = HashSet::new();
    loop {
        let page = world.page(&Solana, &wallet, cursor.as_ref()).await.unwrap();
        found.extend(page.records.into_iter().map(|record| record.provider_id));
        let Next::More(next) = page.next else { break };
        cursor = Some(next);
    }
    assert_eq!(quiet.difference(&found).count(), 0);
}

#[test]
fn a_closed_account_is_read_once_and_too_many_are_told_of() {
    let mark = Mark { slot: 1, newest: None };
    let (closed, known) = (VecDeque::new(), String::new());
    let mut walk = Walk { since: None, mark, place: Place::Own, before: None, closed, closed_before: None, known };
    for number in 0..MOST_CLOSED {
        assert!(walk.queue_closed(format!("{number:08}{WALLET}")));
        assert!(walk.queue_closed(format!("{number:08}{WALLET}")));
    }
    assert!(!walk.queue_closed(format!("{MOST_CLOSED:08}{WALLET}")) && walk.queue_closed(format!("{:08}{WALLET}", 7)));
    assert_eq!(walk.closed.len(), MOST_CLOSED);
    walk.closed.clear();
    assert!(Cursor::of(&Position::Walking(walk)).as_str().len() < 50_000);
}

#[tokio::test]
async fn records_say_what_a_transaction_did() {
    let (fake, world, wallet) = start().await;
    let mint = Fake::address("mint");
    let usdc = fake.open(WALLET, WALLET, USDC, 6, TOKEN_PROGRAM);
    let wrapped = fake.open(WALLET, WALLET, WRAPPED_SOL, 9, TOKEN_PROGRAM);
    let other = fake.open(FRIEND, WALLET, &mint, 0, TOKEN_PROGRAM);
    let paid = fake.transfer(WALLET, FRIEND, 2_000_000_000);
    let came = fake.receive(WALLET, 7);
    let token = fake.receive_token(&usdc, 10_000_000);
    let piece = fake.receive_token(&other, 1);
    let sol_came = fake.receive_token(&wrapped, 30);
    let swap = fake.swap((&usdc, 4_000_000), (&wrapped, 20_000_000));
    let failed = fake.fail(WALLET);
    let called = fake.call(FRIEND, WALLET);
    let opened = fake.open(WALLET, FRIEND, USDC, 6, TOKEN_PROGRAM);
    let (records, _) = world.walk(&Solana, &wallet, None).await.unwrap();
    let of = |id: &str| {
        let record = records.iter().find(|record| record.provider_id == id).unwrap();
        assert_eq!(record.tx_hash.as_deref(), Some(id));
        (record.kind, record.sent.clone(), record.received.clone(), record.fee.clone())
    };
    let dollars = |units| Amount::of(Quantity::of_units(units, 6), "USDC");
    assert_eq!(of(&paid), (RecordKind::Transfer, sol(2_000_000_000), None, sol(FEE)));
    assert_eq!(of(&came), (RecordKind::Transfer, None, sol(7), None));
    assert_eq!(of(&token), (RecordKind::TokenTransfer, None, dollars(10_000_000), None));
    let one = Amount::of(Quantity::of_units(1, 0), mint);
    assert_eq!(of(&piece), (RecordKind::NftTransfer, None, one, None));
    assert_eq!(of(&sol_came), (RecordKind::Transfer, None, sol(30), None));
    assert_eq!(of(&swap), (RecordKind::Trade, dollars(4_000_000), sol(20_000_000), sol(FEE)));
    assert_eq!(of(&failed), (RecordKind::Fee, None, None, sol(FEE)));
    assert_eq!(of(&called), (RecordKind::ContractCall, None, None, None));
    // What a new account of its own holds is still the wallet's; what it pays for another's is not.
    let kinds: Vec<_> = records.iter().filter(|record| record.sent == sol(RENT)).collect();
    assert_eq!(kinds.len(), 1, "{opened}: {kinds:?}");
}

#[tokio::test]
async fn throttling_is_waited_for_and_what_was_read_before_is_kept() {
    let (fake, world, wallet) = start().await;
    fake.receive_many(WALLET, 60);
    fake.throttle(1, 7.0);
    let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
    assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(7) });
    fake.allow("getTransaction", 23, 10.0);
    let first = world.page(&Solana, &wallet, None).await.unwrap();
    let Next::More(cursor) = first.next else { panic!("there is more") };
    let kept = first.records.len();
    assert!((24 - AT_ONCE..=23).contains(&kept), "those that are asked together may be refused in any order: {kept}");
    let trouble = world.page(&Solana, &wallet, Some(&cursor)).await.unwrap_err();
    assert_eq!(trouble, Trouble::Wait { provider: NAME, for_: Duration::from_secs(10) });
    fake.allow("getTransaction", 1_000, 0.0);
    let (rest, _) = world.walk(&Solana, &wallet, Some(cursor)).await.unwrap();
    let all: HashSet<&str> = ids(&first.records).union(&ids(&rest)).copied().collect();
    assert_eq!((rest.len(), all.len()), (60 - kept, 60));
}

#[tokio::test]
async fn a_node_that_is_behind_is_waited_for_and_one_that_has_forgotten_is_not_believed() {
    let (fake, world, wallet) = start().await;
    let wait = Trouble::Wait { provider: NAME, for_: UNSAID };
    fake.receive_many(WALLET, 5);
    let first = Walk::begin(None, &world.outside()).await.unwrap();
    let cursor = Cursor::of(&Position::Walking(first));
    fake.fall_behind(3);
    assert_eq!(world.page(&Solana, &wallet, Some(&cursor)).await.unwrap_err(), wait);
    fake.fall_behind(0);
    let lost = fake.receive(WALLET, 9);
    fake.prune(&lost);
    let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
    assert_eq!(trouble, Refusal::incomplete(), "the chain is years behind this test's clock");
    // The newest signature is not known any more: the slot is enough to stop at.
    let slot = Walk::begin(None, &world.outside()).await.unwrap().mark.slot;
    let newest = Some(bs58::encode([9_u8; 64]).into_string());
    let done = Cursor::of(&Position::Done(Mark { slot: slot + 1 + OVERLAP_SLOTS, newest }));
    let fresh = fake.receive(WALLET, 10);
    let (records, _) = world.walk(&Solana, &wallet, Some(done)).await.unwrap();
    assert_eq!(ids(&records), HashSet::from([fresh.as_str()]));
}

#[tokio::test]
async fn troubles_are_told_apart() {
    let (fake, world, wallet) = start().await;
    let wait = Trouble::Wait { provider: NAME, for_: UNSAID };
    let down = "The Solana node has trouble of its own.";
    for (code, message, expected) in [
        (-32005, "Node is behind by 42 slots", wait.clone()),
        (429, "Too many requests", wait),
        (-32009, "Slot 5 was skipped, or missing in long-term storage", Refusal::incomplete()),
        (-32007, "Slot 5 was skipped, or missing due to ledger jump", Refusal::incomplete()),
        (-32011, "Transaction history is not available from this node", Refusal::incomplete()),
        (-32019, "Failed to query long-term storage; please try again", Trouble::ProviderDown(down.into())),
        (-32603, "Internal error", Trouble::ProviderDown(down.into())),
    ] {
        fake.refuse_next(code, message);
        assert_eq!(world.page(&Solana, &wallet, None).await.unwrap_err(), expected, "{message}");
    }
    for code in [-32602, -32601, -32010, -32099] {
        fake.refuse_next(code, "No");
        let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
    }
    for (answer, expected) in [
        (fakes::Answer::status(200).body("<html>"), Trouble::unreadable(NAME)),
        (fakes::Answer::status(502), Trouble::ProviderDown("Solana has trouble of its own (HTTP 502).".into())),
    ] {
        fake.host.faults().next(1, fakes::Fault::Answer(answer));
        assert_eq!(world.page(&Solana, &wallet, None).await.unwrap_err(), expected);
    }
    fake.host.faults().next(1, fakes::Fault::Answer(fakes::Answer::status(403)));
    let trouble = world.page(&Solana, &wallet, None).await.unwrap_err();
    assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
}
