//! The source against its fakes: the same history by every explorer, once, whatever goes wrong on the way.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use fakes::Fault;
use fakes::chains::blockscout::Blockscout as FakeBlockscout;
use fakes::chains::etherscan::Etherscan as FakeEtherscan;
use fakes::chains::ledger::{EvmTransaction, Ledger};
use fakes::evm::EvmNode;
use jiff::SignedDuration;

use super::*;
use crate::model::{Amount, Quantity, RecordKind};
use crate::providers::testing::World;

/// One of EIP-55's own examples.
const OWN: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const OTHER: &str = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb";
const CONTRACT: &str = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB";
const COIN: u128 = 1_000_000_000_000_000_000;
const KEY: &str = "etherscan-k3y";

struct Fakes {
    ledger: Ledger,
    etherscan: FakeEtherscan,
    blockscout: FakeBlockscout,
    node: EvmNode,
}

impl Fakes {
    async fn start() -> Self {
        let ledger = Ledger::default();
        let etherscan = FakeEtherscan::start(&ledger).await.unwrap();
        etherscan.add_key(KEY);
        let blockscout = FakeBlockscout::start(&ledger).await.unwrap();
        Self { ledger, etherscan, blockscout, node: EvmNode::start().await.unwrap() }
    }

    fn world(&self, etherscan: &str, blockscout: &str) -> World {
        let mut endpoints = vec![
            ("ETHERSCAN", self.etherscan.host.origin()),
            ("ROUTESCAN", self.etherscan.host.origin()),
            ("BLOCKSCOUT", self.blockscout.host.origin()),
        ];
        let nodes = [
            ("EVM_RPC_1", 1),
            ("EVM_RPC_10", 10),
            ("EVM_RPC_56", 56),
            ("EVM_RPC_137", 137),
            ("EVM_RPC_8453", 8453),
            ("EVM_RPC_42161", 42161),
            ("EVM_RPC_43114", 43114),
        ];
        endpoints.extend(nodes.map(|(name, chain)| (name, self.node.public_url(chain))));
        World::with_keys(&endpoints, &[("ETHERSCAN", etherscan), ("BLOCKSCOUT", blockscout)])
    }

    /// A world in which the operator has a key of Etherscan's, and one of Blockscout's.
    fn with_etherscan(&self) -> World {
        self.world(KEY, FakeBlockscout::KEY)
    }

    /// A world in which the operator has a key of Blockscout's alone.
    fn with_blockscout(&self) -> World {
        self.world("", FakeBlockscout::KEY)
    }

    /// A world in which the operator has no key.
    fn without_keys(&self) -> World {
        self.world("", "")
    }
}

fn given(address: &str, chains: &[&str]) -> Given {
    let chains = chains.iter().map(|chain| (*chain).to_owned()).collect();
    Given { address: Some(address.to_owned()), chains, ..Given::default() }
}

fn account(chains: &[&str]) -> Account {
    Evm.account(&given(OWN, chains)).unwrap()
}

fn amount(text: &str, asset: &str) -> Option<Amount> {
    Amount::of(Quantity::parse(text).unwrap(), asset)
}

/// Every record once, by kind and id.
fn distinct(records: Vec<Record>) -> BTreeMap<(String, String), Record> {
    records.into_iter().map(|one| ((format!("{:?}", one.kind), one.provider_id.clone()), one)).collect()
}

/// One of everything that can happen.
fn mine_everything(ledger: &Ledger, chain: u64) {
    let token = |one: EvmTransaction, to: &str, units| one.token(CONTRACT, "USDC", OWN, to, units);
    ledger.mine(chain, EvmTransaction::new(OTHER, OWN, 3 * COIN));
    ledger.mine(chain, EvmTransaction::new(OWN, OTHER, COIN).l1_fee(1_000));
    ledger.mine(chain, EvmTransaction::new(OWN, CONTRACT, COIN).failed());
    ledger.mine(chain, EvmTransaction::new(OWN, OWN, COIN));
    // A swap: coins come back from the contract.
    let swap = EvmTransaction::new(OWN, CONTRACT, 0)
        .internal(CONTRACT, OWN, COIN / 2)
        .internal(CONTRACT, OWN, COIN / 2)
        .internal(CONTRACT, OWN, 0)
        .delegate_call(OWN, CONTRACT, COIN);
    ledger.mine(chain, token(swap, CONTRACT, 1_500_000));
    // Two that are alike, one that is not, and what is others'.
    let batch = token(token(token(EvmTransaction::new(OWN, CONTRACT, 0), OTHER, 5), OTHER, 5), CONTRACT, 5);
    ledger.mine(chain, batch.token(CONTRACT, "USDC", OTHER, CONTRACT, 9));
    let collectible = EvmTransaction::new(OTHER, CONTRACT, 0).nft(CONTRACT, "PUNK", OTHER, OWN, "7804");
    ledger.mine(chain, collectible.multi_token(CONTRACT, "ITEM", OTHER, OWN, ("12", 3)));
    ledger.mine(chain, EvmTransaction::new(OTHER, CONTRACT, COIN));
}

#[test]
fn addresses_are_told_from_others() {
    for good in [OWN, OTHER, CONTRACT, "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"] {
        let digits = good.strip_prefix("0x").unwrap();
        for form in [good.to_owned(), good.to_lowercase(), format!("0x{}", digits.to_uppercase()), good.to_uppercase()]
        {
            let account = Evm.account(&given(&form, &[ETHEREUM])).unwrap();
            assert_eq!(account.address(), good, "{form}");
            assert_eq!(account.identities, [format!("eip155:1:{good}")]);
        }
    }
    for bad in [
        "",
        "0x",
        "vitalik.eth",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
        "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
        "0xgaaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    ] {
        let problems = Evm.account(&given(bad, &[ETHEREUM])).unwrap_err();
        assert_eq!(problems[0].field, "address", "{bad}");
    }
}

#[test]
fn chains_are_named_and_others_are_not_taken() {
    assert_eq!(account(CHAINS).identities.len(), 7);
    for chains in [&[][..], &["bip122:000000000019d6689c085ae165831e93"], &["eip155:5"]] {
        assert_eq!(Evm.account(&given(OWN, chains)).unwrap_err()[0].field, "chains");
    }
}

#[tokio::test]
async fn contracts_are_told_from_accounts_that_delegate() {
    let fakes = Fakes::start().await;
    let world = fakes.with_blockscout();
    let check = async |chains: &[&str]| Evm.check(&account(chains), &world.outside()).await.unwrap();
    assert_eq!(check(&[ETHEREUM, POLYGON]).await, Checked::default());
    fakes.node.set_code_on(137, OWN, &format!("0xef0100{}", "ab".repeat(20)));
    assert!(!check(&[ETHEREUM, POLYGON]).await.is_contract);
    fakes.node.set_code_on(137, OWN, "0x6001");
    assert!(check(&[ETHEREUM, POLYGON]).await.is_contract);
    assert!(!check(&[ETHEREUM]).await.is_contract, "a contract of another chain is not this one's");
}

#[tokio::test]
async fn where_a_node_does_not_help_an_explorer_does() {
    let fakes = Fakes::start().await;
    let world = fakes.with_blockscout();
    fakes.ledger.put_code(1, OWN, true);
    for version in [11, 12] {
        fakes.blockscout.set_version(version);
        fakes.node.answer_with_page(true);
        assert_eq!(Evm.check(&account(&[ETHEREUM]), &world.outside()).await.unwrap(), Checked::default());
        assert!(!Evm.check(&account(&[BASE]), &world.outside()).await.unwrap().is_contract, "nobody's yet");
    }
    fakes.ledger.put_code(1, OWN, false);
    assert!(Evm.check(&account(&[ETHEREUM]), &world.outside()).await.unwrap().is_contract);
    fakes.blockscout.host.faults().next(1, Fault::Close);
    fakes.blockscout.host.faults().next(1, Fault::Close);
    let checked = Evm.check(&account(&[ETHEREUM]), &world.outside()).await.unwrap();
    assert!(!checked.is_contract && checked.warnings[0].contains("Ethereum"), "{checked:?}");
    fakes.node.answer_with_page(false);
    let elsewhere = World::with_keys(
        &[("EVM_RPC_1", fakes.node.public_url(10)), ("BLOCKSCOUT", fakes.blockscout.host.origin())],
        &[("ETHERSCAN", ""), ("BLOCKSCOUT", FakeBlockscout::KEY)],
    );
    fakes.node.set_code(OWN, "0x");
    let checked = Evm.check(&account(&[ETHEREUM]), &elsewhere.outside()).await.unwrap();
    assert!(checked.is_contract, "a node of another chain is not believed");
}

#[tokio::test]
async fn everything_that_happens_is_written_down_the_same_by_every_explorer() {
    let fakes = Fakes::start().await;
    mine_everything(&fakes.ledger, 1);
    let (by_etherscan, _) = fakes.with_etherscan().walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    let (by_blockscout, _) = fakes.with_blockscout().walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(by_etherscan.len(), 14);
    let records = distinct(by_etherscan);
    assert_eq!(records.len(), 14);
    assert_eq!(records, distinct(by_blockscout));
    let of = |kind: RecordKind| -> Vec<&Record> {
        let mut found: Vec<&Record> = records.values().filter(|record| record.kind == kind).collect();
        found.sort_by_key(|record| record.time);
        found
    };
    let fee = amount("0.00021", "ETH");
    let transfers = of(RecordKind::Transfer);
    assert_eq!(transfers.len(), 3);
    assert_eq!((&transfers[0].received, &transfers[0].sent, &transfers[0].fee), (&amount("3", "ETH"), &None, &None));
    assert_eq!(transfers[1].sent, amount("1", "ETH"));
    assert_eq!(transfers[1].fee, amount("0.000210000000001", "ETH"), "with what the chain below took");
    assert_eq!((&transfers[2].sent, &transfers[2].received), (&amount("1", "ETH"), &amount("1", "ETH")));
    let calls = of(RecordKind::ContractCall);
    assert_eq!(calls.len(), 3);
    assert_eq!((&calls[0].sent, &calls[0].fee), (&None, &fee), "what failed moved nothing, and cost");
    let internal = of(RecordKind::InternalTransfer);
    assert_eq!(internal.len(), 2, "what moved nothing is not there");
    assert!(internal.iter().all(|record| record.received == amount("0.5", "ETH")));
    let tokens = of(RecordKind::TokenTransfer);
    assert_eq!(tokens.len(), 4, "two that are alike are two");
    assert_eq!(tokens[0].sent, amount("1.5", "USDC"));
    let nfts = of(RecordKind::NftTransfer);
    let received: HashSet<String> = nfts.iter().map(|one| format!("{:?}", one.received)).collect();
    let expected = [amount("1", "PUNK #7804"), amount("3", "ITEM #12")];
    assert_eq!(received, expected.iter().map(|amount| format!("{amount:?}")).collect());
    assert!(records.keys().all(|(_, id)| id.starts_with("eip155:1:0x") && id.len() < 512));
}

#[tokio::test]
async fn an_etherscan_history_is_walked_once_and_then_only_what_is_new() {
    let fakes = Fakes::start().await;
    let world = fakes.with_etherscan();
    // The thousandth row is in the middle of a block.
    for _ in 0..700 {
        fakes.ledger.mine_together(1, vec![EvmTransaction::new(OTHER, OWN, COIN); 3]);
    }
    let (records, end) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!((records.len(), distinct(records).len()), (2_100, 2_100));
    assert_eq!(fakes.blockscout.host.requests().len(), 0);
    fakes.ledger.skip_blocks(1, 100);
    fakes.ledger.receive_many(1, OWN, 4);
    fakes.etherscan.host.forget_requests();
    let (records, end) = world.walk(&Evm, &account(&[ETHEREUM]), end).await.unwrap();
    assert_eq!(records.len(), 4 + 51 * 3, "what is new, and some blocks before");
    assert_eq!(fakes.etherscan.host.requests().len(), 5, "one call for each list");
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), end).await.unwrap();
    assert_eq!(records.len(), 4);
}

#[tokio::test]
async fn a_block_that_fills_calls_by_itself_is_read_by_page() {
    let fakes = Fakes::start().await;
    let world = fakes.with_etherscan();
    fakes.ledger.receive_many(1, OWN, 3);
    // The same transfer so many times in one block, two of them in each transaction.
    let airdrop = EvmTransaction::new(OTHER, CONTRACT, 0)
        .token(CONTRACT, "DUST", OTHER, OWN, 1)
        .token(CONTRACT, "DUST", OTHER, OWN, 1);
    fakes.ledger.mine_together(1, vec![airdrop; 550]);
    fakes.ledger.receive_many(1, OWN, 3);
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(distinct(records).len(), 1_106);
    let (records, _) = fakes.with_blockscout().walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(distinct(records).len(), 1_106);
}

#[tokio::test]
async fn a_blockscout_history_is_walked_once_and_then_only_what_is_new() {
    for version in [11, 12] {
        let fakes = Fakes::start().await;
        fakes.blockscout.set_version(version);
        let world = fakes.world("", "blockscout-k3y");
        fakes.blockscout.require_key("blockscout-k3y");
        let (records, _) = world.walk(&Evm, &account(&[BASE]), None).await.unwrap();
        assert_eq!(records.len(), 0, "an address that is not known has no history");
        fakes.ledger.receive_many(8453, OWN, 330);
        mine_everything(&fakes.ledger, 8453);
        // A page is interrupted by new rows.
        let first = world.page(&Evm, &account(&[BASE]), None).await.unwrap();
        fakes.ledger.receive_many(8453, OWN, 60);
        let Next::More(cursor) = first.next else { panic!("{first:?}") };
        assert!(!cursor.as_str().contains("k3y"), "{}", cursor.as_str());
        let (records, end) = world.walk(&Evm, &account(&[BASE]), Some(cursor)).await.unwrap();
        let all = distinct(first.records.into_iter().chain(records).collect());
        assert_eq!(all.len(), 330 + 14);
        fakes.ledger.skip_blocks(8453, 400);
        fakes.blockscout.host.forget_requests();
        let (records, end) = world.walk(&Evm, &account(&[BASE]), end).await.unwrap();
        let all = distinct(all.into_values().chain(records).collect());
        assert_eq!(all.len(), 330 + 14 + 60);
        let (records, _) = world.walk(&Evm, &account(&[BASE]), end).await.unwrap();
        assert!(records.len() < all.len(), "only the end is read again");
        assert_eq!(distinct(all.into_values().chain(records).collect()).len(), 404);
    }
}

#[tokio::test]
async fn explorers_may_change_in_the_middle() {
    let fakes = Fakes::start().await;
    let (etherscan, blockscout) = (fakes.with_etherscan(), fakes.with_blockscout());
    fakes.ledger.receive_many(1, OWN, 1_300);
    mine_everything(&fakes.ledger, 1);
    for (first, second) in [(&etherscan, &blockscout), (&blockscout, &etherscan)] {
        let begun = first.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
        let Next::More(cursor) = begun.next else { panic!("{begun:?}") };
        let (records, end) = second.walk(&Evm, &account(&[ETHEREUM]), Some(cursor)).await.unwrap();
        let (again, _) = first.walk(&Evm, &account(&[ETHEREUM]), end).await.unwrap();
        let all = begun.records.into_iter().chain(records).chain(again).collect();
        assert_eq!(distinct(all).len(), 1_314);
    }
}

#[tokio::test]
async fn throttling_is_waited_for_and_rubbish_is_not_believed() {
    let fakes = Fakes::start().await;
    let (etherscan, blockscout) = (fakes.with_etherscan(), fakes.with_blockscout());
    fakes.ledger.receive_many(1, OWN, 3);
    let wait = |seconds| Trouble::Wait { provider: "Ethereum", for_: Duration::from_secs(seconds) };
    fakes.etherscan.throttle(1);
    assert_eq!(etherscan.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err(), wait(1));
    fakes.blockscout.throttle(1, 4_000);
    assert_eq!(blockscout.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err(), wait(4));
    for (world, host) in [(&etherscan, &fakes.etherscan.host), (&blockscout, &fakes.blockscout.host)] {
        for (answer, expected) in [
            (fakes::Answer::status(200).body("<html>"), Trouble::unreadable("Ethereum")),
            (fakes::Answer::status(502), Trouble::ProviderDown("Ethereum has trouble of its own (HTTP 502).".into())),
        ] {
            host.faults().next(1, Fault::Answer(answer));
            assert_eq!(world.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err(), expected);
        }
        let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
        assert_eq!(records.len(), 3);
    }
}

#[tokio::test]
async fn what_was_read_before_trouble_came_is_kept() {
    let fakes = Fakes::start().await;
    let world = fakes.with_blockscout();
    mine_everything(&fakes.ledger, 1);
    fakes.blockscout.host.faults().next_on("/token-transfers", 1, Fault::Answer(fakes::Answer::status(502)));
    let page = world.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(page.records.len(), 8);
    let Next::More(cursor) = page.next else { panic!("{page:?}") };
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), Some(cursor)).await.unwrap();
    assert_eq!(records.len(), 6, "nothing was asked for twice");
}

#[tokio::test]
async fn an_operators_key_that_is_refused_is_not_the_customers_trouble() {
    let fakes = Fakes::start().await;
    fakes.ledger.receive_many(1, OWN, 3);
    fakes.etherscan.revoke_key(KEY);
    let world = fakes.with_etherscan();
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(records.len(), 3, "another explorer tells");
    assert_eq!(fakes.etherscan.host.requests().len(), 1, "and the key is not tried with every page");
    fakes.blockscout.require_key("another");
    let trouble = world.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err();
    assert!(!trouble.is_final() && trouble.to_string().contains("the address is in order"), "{trouble}");
    assert!(!trouble.to_string().contains(KEY));
    fakes.etherscan.add_key(KEY);
    fakes.etherscan.forgive();
    fakes.etherscan.reach_daily_limit(true);
    let trouble = world.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err();
    assert!(matches!(trouble, Trouble::ProviderDown(_)), "{trouble}");
    fakes.etherscan.reach_daily_limit(false);
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(records.len(), 3);
}

#[tokio::test]
async fn without_a_key_nobody_is_asked_who_wants_one_and_the_owner_is_told_at_once() {
    let fakes = Fakes::start().await;
    for chain in [1, 43114] {
        fakes.ledger.receive_many(chain, OWN, 3);
    }
    let world = fakes.without_keys();
    let several = account(&[ETHEREUM, BASE, AVALANCHE]);
    let checked = Evm.check(&several, &world.outside()).await.unwrap();
    assert!(matches!(&checked.warnings[..], [one] if one.contains("Ethereum, Base until") && one.contains("key")));
    let (records, _) = world.walk(&Evm, &several, None).await.unwrap();
    assert_eq!(records.len(), 3, "Avalanche's, which Routescan tells everybody");
    let alone = world.page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err();
    assert!(!alone.is_final() && alone.to_string().contains("operator"), "{alone}");
    assert_eq!(fakes.blockscout.host.requests().len(), 0);
    // A key of Etherscan's is enough where its plan covers the chain.
    let world = fakes.world(KEY, "");
    let checked = Evm.check(&account(&[ETHEREUM]), &world.outside()).await.unwrap();
    assert_eq!(checked, Checked::default());
    let (records, _) = world.walk(&Evm, &account(&[ETHEREUM]), None).await.unwrap();
    assert_eq!(records.len(), 3);
}

#[tokio::test]
async fn a_chain_that_no_explorer_covers_is_told_of_and_left_out() {
    let fakes = Fakes::start().await;
    for chain in [1, 56, 43114] {
        fakes.ledger.receive_many(chain, OWN, 3);
    }
    let several = account(&[ETHEREUM, BSC, AVALANCHE]);
    for world in [fakes.with_blockscout(), fakes.with_etherscan()] {
        let checked = Evm.check(&several, &world.outside()).await.unwrap();
        assert_eq!(checked.warnings.len(), 1);
        assert!(checked.warnings[0].contains("BNB Smart Chain") && !checked.warnings[0].contains("Avalanche"));
        let (records, _) = world.walk(&Evm, &several, None).await.unwrap();
        assert_eq!(records.len(), 6, "Ethereum's and Avalanche's");
        let alone = world.page(&Evm, &account(&[BSC]), None).await.unwrap_err();
        assert!(!alone.is_final() && alone.to_string().contains("BNB Smart Chain"), "{alone}");
    }
    fakes.etherscan.pay();
    let world = fakes.with_etherscan();
    assert_eq!(Evm.check(&several, &world.outside()).await.unwrap(), Checked::default());
    let (records, _) = world.walk(&Evm, &several, None).await.unwrap();
    assert_eq!(records.len(), 9);
}

#[tokio::test]
async fn what_an_explorer_does_not_know_is_told_from_what_is_not_there() {
    let fakes = Fakes::start().await;
    mine_everything(&fakes.ledger, 43114);
    fakes.etherscan.lack("token1155tx");
    let (records, _) = fakes.with_blockscout().walk(&Evm, &account(&[AVALANCHE]), None).await.unwrap();
    assert_eq!(records.len(), 13, "one list is not there");
    fakes.etherscan.lack("tokentx");
    let trouble = fakes.with_blockscout().walk(&Evm, &account(&[AVALANCHE]), None).await.unwrap_err();
    assert_eq!(trouble, Trouble::unreadable("Avalanche"));
    let nowhere = fakes::Answer::status(404).json(&serde_json::json!({ "message": "Chain not found" }));
    fakes.blockscout.host.faults().all(Fault::Answer(nowhere));
    let trouble = fakes.with_blockscout().page(&Evm, &account(&[ETHEREUM]), None).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unexpected(_)), "{trouble}");
}

#[tokio::test]
async fn a_chain_in_trouble_does_not_lose_the_others() {
    let fakes = Fakes::start().await;
    let world = fakes.with_blockscout();
    let account = account(&[ETHEREUM, BASE, POLYGON]);
    for chain in [1, 8453, 137] {
        fakes.ledger.receive_many(chain, OWN, 70);
    }
    let base = fakes.blockscout.host.faults();
    base.next_on("/8453/", usize::MAX, Fault::Answer(fakes::Answer::status(502)));
    // As far as it goes.
    let go_on = async |cursor: &mut Option<Cursor>| {
        let mut records = Vec::new();
        loop {
            match world.page(&Evm, &account, cursor.as_ref()).await {
                Ok(fetched) => {
                    records.extend(fetched.records);
                    match fetched.next {
                        Next::More(next) => *cursor = Some(next),
                        Next::End(next) => {
                            *cursor = next;
                            return (records, None);
                        }
                    }
                }
                Err(trouble) => return (records, Some(trouble)),
            }
        }
    };
    let mut cursor = None;
    let (records, trouble) = go_on(&mut cursor).await;
    assert_eq!(records.len(), 140, "the others are read whole");
    assert_eq!(trouble, Some(Trouble::ProviderDown("Base has trouble of its own (HTTP 502).".into())));
    fakes.blockscout.host.forget_requests();
    let (records, trouble) = go_on(&mut cursor).await;
    assert_eq!((records.len(), trouble.is_some()), (0, true));
    assert_eq!(fakes.blockscout.host.calls("/1/"), 0, "and not again while it is tried");
    // It lasts, and the others go on.
    fakes.ledger.skip_blocks(1, 100);
    fakes.ledger.skip_blocks(137, 1_000);
    fakes.ledger.receive_many(1, OWN, 5);
    world.clock.advance(SignedDuration::from_hours(6));
    let (records, trouble) = go_on(&mut cursor).await;
    assert!(trouble.is_some());
    assert!(distinct(records).len() >= 5);
    base.clear();
    let (records, trouble) = go_on(&mut cursor).await;
    assert_eq!((distinct(records).len(), trouble), (70, None));
    let (_, trouble) = go_on(&mut cursor).await;
    assert_eq!(trouble, None);
}
