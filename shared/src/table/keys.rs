//! The key schema, all of it.
//!
//! | what | `pk` | `sk` |
//! |---|---|---|
//! | an integration | `T#<tenant>#<group>` | `I#<id>` |
//! | the number of integrations | `T#<tenant>#wallets` | `COUNT` |
//! | what makes an account the tenant's only one: the integration that has it | `T#<tenant>#wallets` | `U#<sha256>` |
//! | where an integration's sync stands | `T#<tenant>#wallets` | `S#<id>` |
//! | what is left to remove of a deleted integration | `T#<tenant>#wallets` | `R#<id>` |
//! | a stored transaction of an integration | `T#<tenant>#wallets#X#<id>` | `<kind>#<provider's id>` |
//! | a key's uses in the present day and minute | `T#<tenant>#keys#K#<id>` | `U` |
//! | a key's uses of one day | `T#<tenant>#keys#K#<id>` | `D#<day>` |
//! | what was reported of a key's uses of one day, in parts | `T#<tenant>#keys#K#<id>` | `D#<day>#<part>` |
//! | a lease of a key that was reported | `T#<tenant>#keys#K#<id>` | `R#<time>#<nonce>` |
//! | the pool's generation: counts its changes | `T#<tenant>#keys` | `G#<provider>` |
//! | when a key's balance is due to be asked for | `T#<tenant>#keys` | `B#<id>` |
//! | what a creation of a key came to | `T#<tenant>#keys` | `C#<uuid>` |
//! | a repeated acquisition's grant | `T#<tenant>#keys#A#<sha256 of the key>` | `A` |
//! | the last id given and the number of keys | `T#<tenant>#keys` | `COUNTER` |
//! | a connection: its id is a UUID; a vault's environment: its id starts with `env_` | `T#<tenant>#vaults` | `I#<id>` |
//! | the connection that has a platform's account | `T#<tenant>#vaults` | `U#<sha256>` |
//! | a vault | `T#<tenant>#vaults` | `V#<owner>/<repo>` |
//! | a link of an environment with a platform's | `T#<tenant>#vaults` | `L#<environment id>#<link id>` |
//! | a part of what a link's syncs wrote, by direction | `T#<tenant>#vaults` | `G#<link id>#<direction>#<number>` |
//! | the lease of a platform's environment: one sync at a time | `T#<tenant>#vaults` | `K#<sha256>` |
//! | a run of a sync | `T#<tenant>#vaults#H#<owner>/<repo>` | `<time>#<run id>` |
//! | an authorization that was begun | `OAUTH#<sha256 of its state>` | `STATE` |
//! | an idempotency record | `T#<tenant>#idempotency#<sha256 of the key>` | `<group>#<method> <route>` |
//! | a token, by what its bearer shows | `TOKEN#<sha256>` | `TOKEN` |
//! | a tenant's tokens, for its operator | `T#<tenant>#tokens` | `<token id>` |
//! | the tenants that have tokens | `TENANTS` | `<tenant>` |
//! | how much of a token's requests of a minute is taken | `T#<tenant>#rate#<sha256 of the token's id>` | `<minute>` |
//! | an entry of the audit log | `T#<tenant>#audit#<day>` | `<time and random>#<step>` |
//! | a job's present run | `JOB#<function>` | `RUN` |
//!
//! A tenant's name has no `#`, so no tenant's partition is the beginning of another's.
//!
//! The table has local indexes, so a partition holds 10 GB at most. What grows with use and not with what a tenant has
//! (kept answers, the audit log) is therefore in partitions that stay small by themselves.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::auth::Tenant;

/// Where an item lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// `pk`.
    pub partition: String,
    /// `sk`.
    pub sort: String,
}

impl Key {
    /// This partition and this sort key.
    #[must_use]
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }

    /// As DynamoDB takes it.
    #[must_use]
    pub fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.partition.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sort.clone())),
        ])
    }

    pub(super) fn of(item: &HashMap<String, AttributeValue>) -> Option<Self> {
        Some(Self::new(item.get("pk")?.as_s().ok()?, item.get("sk")?.as_s().ok()?))
    }
}

/// What an integration's sort key starts with.
pub const INTEGRATION: &str = "I#";

/// The partition of a tenant's integrations of one group.
#[must_use]
pub fn integrations(tenant: &Tenant, group: &str) -> String {
    format!("T#{tenant}#{group}")
}

/// One integration.
#[must_use]
pub fn integration(tenant: &Tenant, group: &str, id: &str) -> Key {
    Key::new(integrations(tenant, group), format!("{INTEGRATION}{id}"))
}

/// The tenant and the id in an integration's key: what a job learns from the due index.
#[must_use]
pub fn integration_of(key: &Key) -> Option<(Tenant, &str)> {
    let (tenant, _group) = key.partition.strip_prefix("T#")?.split_once('#')?;
    Some((Tenant::parse(tenant)?, key.sort.strip_prefix(INTEGRATION)?))
}

/// How many integrations a tenant has.
#[must_use]
pub fn count(tenant: &Tenant, group: &str) -> Key {
    Key::new(integrations(tenant, group), "COUNT")
}

/// What makes an account a tenant's only one, by its hash.
#[must_use]
pub fn identity(tenant: &Tenant, group: &str, hash: &str) -> Key {
    Key::new(integrations(tenant, group), format!("U#{hash}"))
}

/// Where an integration's sync stands.
#[must_use]
pub fn sync_state(tenant: &Tenant, group: &str, id: &str) -> Key {
    Key::new(integrations(tenant, group), format!("S#{id}"))
}

const REMOVAL: &str = "R#";

/// What is left to remove of a deleted integration.
#[must_use]
pub fn removal(tenant: &Tenant, group: &str, id: &str) -> Key {
    Key::new(integrations(tenant, group), format!("{REMOVAL}{id}"))
}

/// The tenant and the id in a removal's key: what a job learns from the due index.
#[must_use]
pub fn removal_of(key: &Key) -> Option<(Tenant, &str)> {
    let (tenant, _group) = key.partition.strip_prefix("T#")?.split_once('#')?;
    Some((Tenant::parse(tenant)?, key.sort.strip_prefix(REMOVAL)?))
}

/// The partition of an integration's stored transactions.
#[must_use]
pub fn transactions(tenant: &Tenant, group: &str, id: &str) -> String {
    format!("{}#X#{id}", integrations(tenant, group))
}

/// The record of one idempotency key: in a partition of the key's own, for kept answers are as many as the requests.
#[must_use]
pub fn idempotency(tenant: &Tenant, group: &str, route: &str, key_hash: &str) -> Key {
    Key::new(format!("T#{tenant}#idempotency#{key_hash}"), format!("{group}#{route}"))
}

/// A token by the hash of what its bearer shows.
#[must_use]
pub fn token(hash: &str) -> Key {
    Key::new(format!("TOKEN#{hash}"), "TOKEN")
}

/// The partition of a tenant's tokens, as its operator sees them.
#[must_use]
pub fn tokens_of(tenant: &Tenant) -> String {
    format!("T#{tenant}#tokens")
}

/// The partition of the tenants that have tokens.
pub const TENANTS: &str = "TENANTS";

/// The present run of a job.
#[must_use]
pub fn job_run(function: &str) -> Key {
    Key::new(format!("JOB#{function}"), "RUN")
}

/// How much of a token's requests of a minute, counted since the epoch, is taken.
#[must_use]
pub fn rate(tenant: &Tenant, token_hash: &str, minute: i64) -> Key {
    Key::new(format!("T#{tenant}#rate#{token_hash}"), minute.to_string())
}

/// Where the audit log is. Only [`audit`](crate::audit) writes there, and nothing changes or removes what it wrote.
pub mod audit {
    use crate::auth::Tenant;

    /// The partition of a tenant's entries of one day, `2026-11-21`.
    #[must_use]
    pub fn day(tenant: &Tenant, day: &str) -> String {
        format!("T#{tenant}#audit#{day}")
    }

    /// The sort key of one step of what was done, by the id of it.
    #[must_use]
    pub fn step(id: &str, step: &str) -> String {
        format!("{id}#{step}")
    }

    /// True if this partition is of an audit log.
    #[must_use]
    pub fn is_day(partition: &str) -> bool {
        let parts: Vec<&str> = partition.splitn(4, '#').collect();
        matches!(parts.as_slice(), ["T", _, "audit", _])
    }
}

/// Where the vaults group keeps what is neither a connection nor an environment.
pub mod vaults {
    use super::{Key, integrations};
    use crate::auth::Tenant;

    const GROUP: &str = "vaults";

    fn at(tenant: &Tenant, sort: String) -> Key {
        Key::new(integrations(tenant, GROUP), sort)
    }

    /// A vault, by `owner/repo`.
    #[must_use]
    pub fn vault(tenant: &Tenant, vault: &str) -> Key {
        at(tenant, format!("V#{vault}"))
    }

    /// What the sort keys of an environment's links start with.
    #[must_use]
    pub fn links_prefix(environment: &str) -> String {
        format!("L#{environment}#")
    }

    /// A link of an environment.
    #[must_use]
    pub fn link(tenant: &Tenant, environment: &str, link: &str) -> Key {
        at(tenant, format!("L#{environment}#{link}"))
    }

    /// What the sort keys of a link's ledger in one direction start with.
    #[must_use]
    pub fn ledger_prefix(link: &str, direction: &str) -> String {
        format!("G#{link}#{direction}#")
    }

    /// A part of a link's ledger.
    #[must_use]
    pub fn ledger(tenant: &Tenant, link: &str, direction: &str, number: usize) -> Key {
        at(tenant, format!("G#{link}#{direction}#{number:04}"))
    }

    /// The lease of a platform's environment, by its hash.
    #[must_use]
    pub fn lease(tenant: &Tenant, hash: &str) -> Key {
        at(tenant, format!("K#{hash}"))
    }

    /// The partition of a vault's runs.
    #[must_use]
    pub fn history(tenant: &Tenant, vault: &str) -> String {
        format!("{}#H#{vault}", integrations(tenant, GROUP))
    }

    /// An authorization that was begun, by the hash of its state.
    #[must_use]
    pub fn authorization(hash: &str) -> Key {
        Key::new(format!("OAUTH#{hash}"), "STATE")
    }
}

/// Where the keys group keeps what is not a key itself. What is written for each use of a key stands in a partition of
/// that key's own, or of the acquisition's, because DynamoDB takes about a thousand writes a second to one; the rest is in
/// the partition of [`integrations`].
pub mod pool {
    use super::{Key, integrations};
    use crate::auth::Tenant;

    const GROUP: &str = "keys";
    /// What the sort key of a key's billing work starts with.
    pub const BILLING: &str = "B#";
    /// What the sort keys of a key's days start with.
    pub const DAY: &str = "D#";

    fn at(tenant: &Tenant, sort: String) -> Key {
        Key::new(integrations(tenant, GROUP), sort)
    }

    /// The partition of what is written for each use of a key.
    #[must_use]
    pub fn uses(tenant: &Tenant, id: &str) -> String {
        format!("{}#K#{id}", integrations(tenant, GROUP))
    }

    /// A key's uses in the present day and minute.
    #[must_use]
    pub fn usage(tenant: &Tenant, id: &str) -> Key {
        Key::new(uses(tenant, id), "U")
    }

    /// A key's uses of one day, `2026-11-21`.
    #[must_use]
    pub fn day(tenant: &Tenant, id: &str, day: &str) -> Key {
        Key::new(uses(tenant, id), format!("{DAY}{day}"))
    }

    /// A part of what was reported of a key's uses of one day.
    #[must_use]
    pub fn tally(tenant: &Tenant, id: &str, day: &str, part: u8) -> Key {
        Key::new(uses(tenant, id), format!("{DAY}{day}#{part}"))
    }

    /// The day in the sort key of a day or of a part of one.
    #[must_use]
    pub fn day_of(sort: &str) -> Option<&str> {
        sort.strip_prefix(DAY)?.split('#').next()
    }

    /// A lease that was reported.
    #[must_use]
    pub fn report(tenant: &Tenant, id: &str, lease: &str) -> Key {
        Key::new(uses(tenant, id), format!("R#{lease}"))
    }

    /// The generation of a provider's pool.
    #[must_use]
    pub fn generation(tenant: &Tenant, provider: &str) -> Key {
        at(tenant, format!("G#{provider}"))
    }

    /// When a key's balance is due to be asked for.
    #[must_use]
    pub fn billing(tenant: &Tenant, id: &str) -> Key {
        at(tenant, format!("{BILLING}{id}"))
    }

    /// The tenant and the id in the key of billing work: what a job learns from the due index.
    #[must_use]
    pub fn billing_of(key: &Key) -> Option<(Tenant, &str)> {
        let (tenant, _group) = key.partition.strip_prefix("T#")?.split_once('#')?;
        Some((Tenant::parse(tenant)?, key.sort.strip_prefix(BILLING)?))
    }

    /// What a creation came to.
    #[must_use]
    pub fn creation(tenant: &Tenant, uuid: uuid::Uuid) -> Key {
        at(tenant, format!("C#{uuid}"))
    }

    /// The grant of an acquisition under an idempotency key.
    #[must_use]
    pub fn acquisition(tenant: &Tenant, key_hash: &str) -> Key {
        Key::new(format!("{}#A#{key_hash}", integrations(tenant, GROUP)), "A")
    }

    /// The last id given and the number of keys.
    #[must_use]
    pub fn counter(tenant: &Tenant) -> Key {
        at(tenant, "COUNTER".into())
    }
}
