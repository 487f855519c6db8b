//! An address on an EVM chain, seen through a JSON-RPC node.
//!
//! The check asks the node for its chain, which reads nothing of the address and costs one call. The node's URL often
//! holds the key, so it is secret, and errors never repeat it. Errors come with HTTP 200 as well as with other
//! statuses, so the body is read first wherever it is JSON-RPC.
//!
//! Where what nodes do comes from: EIP-55 and EIP-1191 (checksums), EIP-695 (`eth_chainId`), the error pages of node
//! providers (401 for a key, 403 for capacity, an allow-list or an app that is switched off, 429 and -32005 for
//! throttling, 4100 for a missing right).

use alloy_primitives::Address;
use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::egress::{Answer, Egress, EgressError};
use shared::http::FieldProblem;

use crate::model::{Delivery, Message, Refusal, Report};

use super::{Config, Field, Provider, Shape, incomplete, is_page, not_a_channel, unanswered, unexpected};

const FIELDS: &[Field] = &[
    Field::plain(
        "address",
        "Address",
        Shape::EvmAddress,
        "0x and 40 hexadecimal digits. Where upper and lower case are mixed, they must be the address's checksum.",
    )
    .required(),
    Field::plain(
        "chainId",
        "Chain id",
        Shape::Number,
        "The chain's number: 1 for Ethereum, 137 for Polygon, 8453 for Base.",
    )
    .required(),
    Field::secret(
        "rpcUrl",
        "RPC URL",
        Shape::Url,
        "The HTTPS endpoint of a node of this chain, with its key, as its provider's dashboard shows it.",
    )
    .required(),
];

const LABEL: &str = "Web3";
const NODE: &str = "The node";
/// The chains that mix their number into the checksum (EIP-1191): Rootstock and its test network.
const CHAINS_WITH_THEIR_OWN_CHECKSUM: &[u64] = &[30, 31];

pub(super) struct Web3;

#[async_trait::async_trait]
impl Provider for Web3 {
    fn label(&self) -> &'static str {
        LABEL
    }

    fn description(&self) -> &'static str {
        "An address on an EVM chain, read through a node of your choice."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn user_addresses(&self) -> &'static [&'static str] {
        &["rpcUrl"]
    }

    fn rules(&self, config: &Config, path: &str) -> Vec<FieldProblem> {
        let expected = config.text("address").and_then(|address| wrong_checksum(address, config.number("chainId")));
        let problem = |expected| {
            let message = format!(
                "has upper and lower case that is not its checksum (EIP-55), so a digit may be wrong; if every digit \
                 is right, write it as {expected}"
            );
            FieldProblem::new(format!("{path}.address"), "value", message)
        };
        expected.map(problem).into_iter().collect()
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(expected) = config.number("chainId") else { return incomplete("chainId") };
        let Some(url) = config.url("rpcUrl") else { return incomplete("rpcUrl") };
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
        match egress.user_url(Method::POST, &url).json(&call).repeatable().send().await {
            Ok(answer) => judge(&answer, expected),
            Err(error @ (EgressError::Forbidden | EgressError::Unusable(_))) => {
                Report::invalid(format!("The RPC URL cannot be called: {error}. Save the public URL of a node."))
            }
            Err(error) => unanswered(NODE, &error),
        }
    }

    fn is_channel(&self) -> bool {
        false
    }

    async fn send(&self, _config: &Config, _message: &Message, _egress: &Egress) -> Result<Delivery, Refusal> {
        Err(not_a_channel(LABEL))
    }
}

/// The right form of an address whose upper and lower case is wrong. Case that is all the same says nothing.
fn wrong_checksum(text: &str, chain: Option<u64>) -> Option<String> {
    let digits = text.strip_prefix("0x")?;
    let is_mixed =
        digits.contains(|c: char| c.is_ascii_lowercase()) && digits.contains(|c: char| c.is_ascii_uppercase());
    let address: Address = text.parse().ok()?;
    let expected = address.to_checksum(None);
    let own_chain = chain.filter(|chain| CHAINS_WITH_THEIR_OWN_CHECKSUM.contains(chain));
    let is_right = text == expected || own_chain.is_some_and(|chain| text == address.to_checksum(Some(chain)));
    (is_mixed && !is_right).then_some(expected)
}

fn judge(answer: &Answer, expected: u64) -> Report {
    if is_page(answer) && matches!(answer.status, 401..=403) {
        return unexpected(NODE, answer);
    }
    let reply = Reply::of(answer);
    match (answer.status, reply) {
        (401, _) | (..500, Some(Reply::Error(4100))) => Report::invalid(
            "The node refuses the RPC URL's key: it is missing, wrong or was deleted. Copy the URL again from the node \
             provider's dashboard and save it here.",
        ),
        (402 | 403, _) => Report::limited(
            "The node answers but refuses the call: the plan's capacity may be used up, the app switched off or \
             unpaid, or an allow-list may leave this server out. See the node provider's dashboard.",
        ),
        (200..300, Some(Reply::Chain(served))) if served == expected => Report::valid(),
        (200..300, Some(Reply::Chain(served))) => Report::invalid(format!(
            "The node serves chain {served}, not chain {expected}. Save the URL of a node of chain {expected}, or set \
             chainId to {served}."
        )),
        (200..300, Some(Reply::Error(-32005 | 429))) => {
            Report::inconclusive(format!("{NODE} is being asked too often just now"))
        }
        (..500, Some(Reply::Error(-32601))) => Report::inconclusive(format!(
            "{NODE} does not know eth_chainId; see that the RPC URL is that of an EVM chain"
        )),
        (200..300, Some(Reply::Error(code))) => {
            Report::inconclusive(format!("{NODE} answered with the JSON-RPC error {code}"))
        }
        (200..300, Some(Reply::Other)) => {
            Report::inconclusive(format!("{NODE} answered with something that is no chain id"))
        }
        (200..300 | 404 | 405, None) => {
            Report::inconclusive("What is at the RPC URL does not speak JSON-RPC; see that the URL is complete")
        }
        _ => unexpected(NODE, answer),
    }
}

/// What a node answers to `eth_chainId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Chain(u64),
    Error(i64),
    /// A result that is no chain id, or an error without a code.
    Other,
}

impl Reply {
    fn of(answer: &Answer) -> Option<Self> {
        #[derive(Deserialize)]
        struct Failure {
            code: i64,
        }
        let reply = answer.json::<serde_json::Map<String, Json>>()?;
        match (reply.get("error"), reply.get("result")) {
            (Some(error), _) if !error.is_null() => {
                Some(Failure::deserialize(error).map_or(Self::Other, |failure| Self::Error(failure.code)))
            }
            (_, Some(result)) => Some(result.as_str().and_then(quantity).map_or(Self::Other, Self::Chain)),
            _ => None,
        }
    }
}

/// A number as nodes write it: `0x`, then hexadecimal digits without leading zeros.
fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && (digits == "0" || !digits.starts_with('0'));
    if is_plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{StandIn, answer, config, egress};
    use super::*;
    use crate::model::Verdict::{Inconclusive, Invalid, Limited, Valid};

    const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn settings(address: &str, chain: u64, url: &str) -> Config {
        config(FIELDS, json!({ "address": address, "chainId": chain, "rpcUrl": url }))
    }

    async fn checked(status: u16, body: &'static str) -> Report {
        let node = StandIn::answering(move |_| answer(status, &[], body)).await;
        let url = node.url.join("/v3/the-key").unwrap();
        let report = Web3.check(&settings(ADDRESS, 137, url.as_str()), &egress(&[], &[&node])).await;
        let asked = node.asked();
        assert_eq!((asked[0].path.as_str(), &asked[0].body["method"]), ("/v3/the-key", &json!("eth_chainId")));
        assert!(!report.message.contains("the-key"), "{}", report.message);
        report
    }

    #[tokio::test]
    async fn answers_are_judged() {
        for (status, body, verdict) in [
            (200, r#"{"jsonrpc":"2.0","id":1,"result":"0x89"}"#, Valid),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":null,"result":"0x89"}"#, Valid),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#, Invalid),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":"0x089"}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":"0x"}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":137}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":4100,"message":"unauthorized"}}"#, Invalid),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal"}}"#, Inconclusive),
            (200, r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, Inconclusive),
            (200, "<html>", Inconclusive),
            (200, r#"{"hello":"world"}"#, Inconclusive),
            (401, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Must be authenticated!"}}"#, Invalid),
            (401, "invalid project id\n", Invalid),
            (401, "<html>", Inconclusive),
            (403, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"App is inactive."}}"#, Limited),
            (403, "<html>", Inconclusive),
            (404, "not found", Inconclusive),
            (429, r#"{"jsonrpc":"2.0","error":{"code":429,"message":"throughput"}}"#, Inconclusive),
            (500, r#"{"jsonrpc":"2.0","error":{"code":4100,"message":"?"}}"#, Inconclusive),
        ] {
            let report = checked(status, body).await;
            assert_eq!(report.verdict, verdict, "{status} {body}: {}", report.message);
        }
    }

    #[tokio::test]
    async fn the_wrong_chain_is_named() {
        let report = checked(200, r#"{"jsonrpc":"2.0","id":1,"result":"0xaa36a7"}"#).await;
        assert!(report.message.contains("serves chain 11155111, not chain 137"), "{}", report.message);
    }

    #[tokio::test]
    async fn a_private_address_is_not_called() {
        let node = StandIn::answering(|_| answer(200, &[], "{}")).await;
        let report = Web3.check(&settings(ADDRESS, 137, node.url.as_str()), &egress(&[], &[])).await;
        assert_eq!((report.verdict, node.asked().len()), (Invalid, 0));
    }

    #[test]
    fn mixed_case_must_be_the_checksum() {
        let problems = |address: &str, chain| Web3.rules(&settings(address, chain, "https://node.example"), "config");
        for right in [
            ADDRESS,
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
            "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED",
            "0x1111111111111111111111111111111111111111",
        ] {
            assert_eq!(problems(right, 1), [], "{right}");
        }
        let wrong = problems("0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", 1);
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].field, "config.address");
        assert!(wrong[0].message.contains(ADDRESS), "{}", wrong[0].message);
    }

    #[test]
    fn rootstocks_own_checksum_is_taken_on_rootstock_alone() {
        let address: Address = ADDRESS.parse().unwrap();
        let own = address.to_checksum(Some(30));
        assert_ne!(own, ADDRESS);
        assert_eq!(wrong_checksum(&own, Some(30)), None);
        assert_eq!(wrong_checksum(ADDRESS, Some(30)), None);
        assert_eq!(wrong_checksum(&own, Some(1)).as_deref(), Some(ADDRESS));
    }
}
