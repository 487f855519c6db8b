//! Nodes, by JSON-RPC: whether an address is a contract.
//!
//! An account of a person has no code, or, since EIP-7702, code that only names the contract it delegates to: `0xef0100`
//! and an address, 23 bytes. The node is also asked which chain it is of: an address of a node that the operator
//! overrides may be another chain's, which answers just as well.
//!
//! Nodes tell no history. `eth_getTransactionCount` counts what an address sent, and so is no total; it is not asked.

use axum::http::Method;
use futures::future::join;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chain::Chain;
use crate::providers::{Outside, Trouble};

/// What the code of an account that delegates begins with, and how many hexadecimal digits it has.
const DELEGATION: &str = "ef0100";
const DELEGATION_DIGITS: usize = 46;

#[derive(Deserialize)]
struct Reply {
    /// None beside an error, which comes with HTTP 200 as well.
    result: Option<String>,
}

/// Whether an address is a contract.
pub(super) async fn is_contract(chain: &Chain, address: &str, outside: &Outside<'_>) -> Result<bool, Trouble> {
    let code = ask(chain, "eth_getCode", json!([address, "latest"]), outside);
    let id = ask(chain, "eth_chainId", json!([]), outside);
    let (code, id) = join(code, id).await;
    if id.is_ok_and(|id| id != format!("{:#x}", chain.id)) {
        tracing::error!(node = chain.node.name(), "this node is of another chain");
        return Err(Trouble::Unexpected(format!("{}'s node is of another chain.", chain.name)));
    }
    Ok(is_code_of_a_contract(&code?))
}

/// One call. Not several at once: some nodes do not take that.
async fn ask(chain: &Chain, method: &str, params: Value, outside: &Outside<'_>) -> Result<String, Trouble> {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    // Reading twice changes nothing.
    let request = outside.request(Method::POST, chain.node, "").json(&call).repeatable();
    let answer = outside.send(chain.name, request).await?;
    if !answer.is_success() {
        return Err(Trouble::of_answer(chain.name, &answer));
    }
    let reply: Option<Reply> = answer.json();
    reply.and_then(|reply| reply.result).ok_or_else(|| Trouble::unreadable(chain.name))
}

fn is_code_of_a_contract(code: &str) -> bool {
    let code = code.strip_prefix("0x").unwrap_or(code).to_ascii_lowercase();
    let delegates = code.len() == DELEGATION_DIGITS && code.starts_with(DELEGATION);
    !(code.is_empty() || delegates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_delegates_is_no_contract() {
        let delegation = format!("0xef0100{}", "ab".repeat(20));
        assert!(!is_code_of_a_contract("0x"));
        assert!(!is_code_of_a_contract(&delegation));
        assert!(!is_code_of_a_contract(&delegation.to_uppercase().replacen("0X", "0x", 1)));
        assert!(is_code_of_a_contract("0x6001"));
        assert!(is_code_of_a_contract(&format!("{delegation}00")), "longer code only begins alike");
        assert!(is_code_of_a_contract("0xef0100"));
    }
}
