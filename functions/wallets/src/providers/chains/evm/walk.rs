//! The walk through one chain's lists.
//!
//! Of each list it is kept up to which block it was read. A pass goes through the lists one after another, each from some
//! blocks before that place. Etherscan's lists are climbed, and the place moves on with every page; Blockscout's are
//! descended from their newest row, and the place moves on when the descent has come down to it. Explorers may change in
//! the middle: what was begun with the other is begun again from the place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chain::Chain;
use super::explorer::{Explorer, List, Read, Refusal, explorers};
use super::record::{Scribe, Tally};
use crate::model::Record;
use crate::providers::{Outside, Trouble};

/// How many calls one page of history takes at most, and with how many records it ends.
const CALLS: usize = 5;
const ENOUGH: usize = 1_000;

/// Where a chain's walk stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Walk {
    /// Up to which block each list was read.
    read: BTreeMap<List, u64>,
    /// Where the present pass is; none between passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Reading>,
    /// True if the last pass came to its end.
    #[serde(default)]
    pub(super) done: bool,
    /// True if the last try met trouble.
    #[serde(default)]
    pub(super) set_back: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reading {
    list: List,
    #[serde(default)]
    way: Way,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    #[default]
    Start,
    Up(Climb),
    Down(Descent),
}

/// Where a list is that is read upwards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Climb {
    /// The block to begin with.
    pub(super) block: u64,
    /// Within a block that alone fills calls, the page; otherwise 0.
    #[serde(default)]
    pub(super) page: u32,
    #[serde(default)]
    pub(super) tally: Tally,
}

/// Where a list is that is read downwards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Descent {
    /// The lowest block that is wanted.
    pub(super) floor: u64,
    /// The highest block that was seen.
    pub(super) newest: u64,
    /// The next page, in the explorer's own words.
    #[serde(default)]
    pub(super) next: Map<String, Value>,
    #[serde(default)]
    pub(super) tally: Tally,
}

/// Why a chain gives no page.
#[derive(Debug)]
pub(super) enum Halt {
    /// No explorer that may be asked tells of it.
    Uncovered,
    /// Anything else.
    Trouble(Trouble),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Walk {
    /// Begins another pass.
    pub(super) fn begin(&mut self) {
        self.at = None;
        self.done = false;
    }

    /// Reads on: a few calls. What was read before trouble came is kept; the trouble will come again.
    pub(super) async fn read_on(
        &mut self,
        chain: &'static Chain,
        address: &str,
        outside: &Outside<'_>,
    ) -> Result<Vec<Record>, Halt> {
        let scribe = Scribe::new(chain, address);
        let mut records = Vec::new();
        for call in 0..CALLS {
            match self.step(chain, (&scribe, address), outside).await {
                Ok(more) => records.extend(more),
                Err(halt) if call == 0 => return Err(halt),
                Err(_) => break,
            }
            if self.done || records.len() >= ENOUGH {
                break;
            }
        }
        Ok(records)
    }

    /// One call, to the first explorer that does not refuse.
    async fn step(
        &mut self,
        chain: &'static Chain,
        to: (&Scribe, &str),
        outside: &Outside<'_>,
    ) -> Result<Vec<Record>, Halt> {
        let mut explorers = explorers(chain, outside).await?;
        for explorer in &explorers.left {
            let refusal = match self.ask(explorer, chain, to, outside).await {
                Ok(records) => return Ok(records),
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Uncovered(for_) => explorer.pass_over(chain, for_, false, outside),
                Refusal::Barred(for_) => {
                    explorers.any_barred = true;
                    explorer.pass_over(chain, for_, true, outside);
                }
                Refusal::Trouble(trouble) => return Err(trouble.into()),
            }
        }
        if !explorers.any_barred {
            return Err(Halt::Uncovered);
        }
        let message = format!(
            "{}'s history cannot be read just now: its explorer does not let this service in. That is for the service's \
             operator to put right; the address is in order.",
            chain.name
        );
        Err(Trouble::ProviderDown(message).into())
    }

    async fn ask(
        &mut self,
        explorer: &Explorer,
        chain: &'static Chain,
        to: (&Scribe, &str),
        outside: &Outside<'_>,
    ) -> Result<Vec<Record>, Refusal> {
        let reading = self.at.clone().unwrap_or(Reading { list: List::Transactions, way: Way::Start });
        let list = reading.list;
        match explorer {
            Explorer::Etherscan(service) => {
                let climb = match reading.way {
                    Way::Up(climb) => climb,
                    _ => Climb { block: self.floor(&[list], chain), ..Climb::default() },
                };
                let Read { records, next, newest } = service.read(chain, list, &climb, to, outside).await?;
                self.move_up(&[list], newest);
                self.go_on(&[list], next.map(Way::Up));
                Ok(records)
            }
            Explorer::Blockscout(blockscout) => {
                let lists = list.together();
                let descent = match reading.way {
                    Way::Down(descent) => descent,
                    _ => Descent { floor: self.floor(lists, chain), ..Descent::default() },
                };
                let Read { records, next, newest } = blockscout.read(chain, list, &descent, to, outside).await?;
                if next.is_none() {
                    self.move_up(lists, newest);
                }
                self.go_on(lists, next.map(Way::Down));
                Ok(records)
            }
        }
    }

    /// The block to begin with: where the lists were read up to, and some before.
    fn floor(&self, lists: &[List], chain: &Chain) -> u64 {
        let read = lists.iter().map(|list| self.read.get(list).copied().unwrap_or_default()).min();
        read.unwrap_or_default().saturating_sub(chain.overlap)
    }

    fn move_up(&mut self, lists: &[List], newest: Option<u64>) {
        for list in lists {
            let read = self.read.entry(*list).or_default();
            *read = newest.unwrap_or_default().max(*read);
        }
    }

    /// On to where these lists go on, or to what follows them.
    fn go_on(&mut self, lists: &[List], way: Option<Way>) {
        let list = match &way {
            Some(_) => lists.first().copied(),
            None => lists.last().and_then(|last| last.next()),
        };
        self.done = list.is_none();
        self.at = list.map(|list| Reading { list, way: way.unwrap_or_default() });
    }
}
