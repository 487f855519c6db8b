//! A provider as a customer sees it: an entry of the catalogue.

use shared::http::FieldProblem;

use super::{Account, Field, Given, Source};
use crate::model::{Category, Origin};

/// A provider as a customer sees it. Several may stand over one source: MetaMask and Ethereum both ask the same chains.
pub struct Entry {
    /// What the API calls it; never changes.
    pub id: &'static str,
    /// What people call it.
    pub public_name: &'static str,
    /// What kind of place it is.
    pub category: Category,
    /// Its logo.
    pub logo_url: &'static str,
    /// Where its history is asked for. Several where an address tells which one is meant; none where there are only files.
    pub sources: &'static [&'static dyn Source],
    /// The chains that are asked, CAIP-2, unless a request names some of them. Empty for exchanges.
    pub chains: &'static [&'static str],
    /// True if its files are taken.
    pub takes_csv: bool,
    /// How to make a credential that can only read, or which address to give: a few sentences, with the names of the
    /// boxes to tick.
    pub instructions: &'static str,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Entry {
    /// Where its histories come from.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let api = (!self.sources.is_empty()).then_some(Origin::Api);
        let csv = self.takes_csv.then_some(Origin::Csv);
        api.into_iter().chain(csv).collect()
    }

    /// The credential fields it asks for; none if it is asked by an address.
    #[must_use]
    pub fn fields(&self) -> &'static [Field] {
        self.sources.first().map_or(&[], |source| source.fields())
    }

    /// True if an extended public key is taken in place of an address.
    #[must_use]
    pub fn takes_xpub(&self) -> bool {
        self.sources.iter().any(|source| source.takes_xpub())
    }

    /// The source of this name among its own.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&'static dyn Source> {
        self.sources.iter().copied().find(|source| source.name() == name)
    }

    /// Reads what a request gives: the source that it is for, and the account.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self, mut given: Given) -> Result<(&'static dyn Source, Account), Vec<FieldProblem>> {
        let unknown: Vec<&String> =
            given.chains.iter().filter(|chain| !self.chains.contains(&chain.as_str())).collect();
        if !unknown.is_empty() {
            let message = if self.chains.is_empty() {
                format!("is not taken: {} is not asked by chain", self.public_name)
            } else {
                format!("must be some of {}", self.chains.join(", "))
            };
            return Err(vec![FieldProblem::new("chains", "value", message)]);
        }
        let everywhere = self.chains.iter().map(|chain| (*chain).to_owned()).collect();
        let anywhere = Given { chains: everywhere, ..given.clone() };
        if given.chains.is_empty() {
            given.chains.clone_from(&anywhere.chains);
        }
        self.misplaced(&given)?;
        let mut takers = self.sources.to_vec();
        takers.retain(|source| given.xpub.is_none() || source.takes_xpub());
        let mut problems = Vec::new();
        for source in &takers {
            // Whose it is does not depend on the chains that are named; whether it can be asked there does.
            if let Err(found) = source.account(&anywhere) {
                problems.push(found);
                continue;
            }
            let account = source.account(&given)?;
            if account.chains.is_empty() && !self.chains.is_empty() {
                let message = format!("names none of the chains that there are for {}", source.accepted());
                return Err(vec![FieldProblem::new("chains", "value", message)]);
            }
            return Ok((*source, account));
        }
        match problems.len() {
            0 => {
                let message = format!("{} is imported from files only: POST /v1/integrations/csv", self.public_name);
                Err(vec![FieldProblem::new("provider", "value", message)])
            }
            1 => Err(problems.into_iter().flatten().collect()),
            _ => {
                // Who says more of this address than of none knows what is wrong with it.
                let none = Given { address: Some(String::new()), ..anywhere };
                let mut told = takers.iter().zip(&problems);
                let knowing = told.find(|(source, found)| source.account(&none).err().as_ref() != Some(found));
                if let Some((_, found)) = knowing {
                    return Err(found.clone());
                }
                let place = if given.xpub.is_some() { "xpub" } else { "address" };
                let what: Vec<&str> = takers.iter().map(|source| source.accepted()).collect();
                Err(vec![FieldProblem::new(place, "value", format!("must be {}", what.join(", or ")))])
            }
        }
    }

    /// What is given that the provider does not take, and what it needs and is not given.
    fn misplaced(&self, given: &Given) -> Result<(), Vec<FieldProblem>> {
        let by_address = self.fields().is_empty();
        let mut problems = Vec::new();
        let mut wrong = |place: &str, code, message: String| problems.push(FieldProblem::new(place, code, message));
        if by_address {
            if !given.credentials.is_empty() {
                wrong("credentials", "unknown", format!("is not taken: {} is asked by an address", self.public_name));
            }
            match (&given.address, &given.xpub) {
                (None, None) if !self.sources.is_empty() => {
                    let what: Vec<&str> = self.sources.iter().map(|source| source.accepted()).collect();
                    wrong("address", "required", format!("is missing: {}", what.join(", or ")));
                }
                (Some(_), Some(_)) => wrong("xpub", "value", "cannot stand beside address: give one of them".into()),
                (None, Some(_)) if !self.takes_xpub() => {
                    wrong("xpub", "unknown", format!("is not taken by {}: give an address", self.public_name));
                }
                _ => {}
            }
        } else {
            for (place, given) in [("address", given.address.is_some()), ("xpub", given.xpub.is_some())] {
                if given {
                    wrong(place, "unknown", format!("is not taken: {} is asked with credentials", self.public_name));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
