//! What sources' unit tests share: a world that leads to fakes, and walks through whole histories.

use std::sync::Arc;

use jiff::Timestamp;
use shared::Platform;
use shared::clock::{FixedClock, Ids, SystemRandom};
use shared::config::{AwsConfig, EgressConfig};
use shared::egress::{Egress, Upstream};
use url::Url;

use super::{Account, Cursor, Fetched, Next, Outside, Source, Trouble};
use crate::model::{Record, Tempo};

/// A world in which upstreams are fakes.
pub(crate) struct World {
    platform: Platform,
    /// Stands at 2026-05-28T20:26:40Z until it is moved.
    pub(crate) clock: FixedClock,
}

impl World {
    /// `endpoints` are pairs of an upstream's name and a fake's origin.
    pub(crate) fn of(endpoints: &[(&str, String)]) -> Self {
        Self::with_keys(endpoints, &[])
    }

    /// The same, and the operator has keys: pairs of an upstream's name and a key.
    pub(crate) fn with_keys(endpoints: &[(&str, String)], keys: &[(&str, &str)]) -> Self {
        let clock = FixedClock::at(Timestamp::from_second(1_780_000_000).unwrap());
        let ids = Ids::new(Arc::new(clock.clone()), Arc::new(SystemRandom));
        let pairs = endpoints.iter().map(|(name, url)| (Upstream::named(name).unwrap(), Url::parse(url).unwrap()));
        let keys = keys.iter().map(|(name, key)| (Upstream::named(name).unwrap(), (*key).into())).collect();
        let egress = EgressConfig { endpoints: pairs.collect(), keys, ..EgressConfig::default() };
        let nowhere = ([127, 0, 0, 1], 9).into();
        let aws = AwsConfig::emulated(nowhere, nowhere);
        Self { platform: Platform::with_egress(&aws, Egress::new(egress), ids), clock }
    }

    /// The world as a new account sees it.
    pub(crate) fn outside(&self) -> Outside<'_> {
        Outside::new(&self.platform, Tempo::default())
    }

    /// One page, healed as the job heals it.
    pub(crate) async fn page(
        &self,
        source: &dyn Source,
        account: &Account,
        cursor: Option<&Cursor>,
    ) -> Result<Fetched, Trouble> {
        super::page(source, account, cursor, &self.outside()).await
    }

    /// Walks from `cursor` to the end, as the job does: every record that was given, repetitions too, and where the next
    /// walk starts.
    pub(crate) async fn walk(
        &self,
        source: &dyn Source,
        account: &Account,
        mut cursor: Option<Cursor>,
    ) -> Result<(Vec<Record>, Option<Cursor>), Trouble> {
        let mut records = Vec::new();
        let mut tempo = Tempo::default();
        loop {
            let outside = Outside::new(&self.platform, tempo);
            let fetched = super::page(source, account, cursor.as_ref(), &outside).await?;
            tempo = outside.tempo();
            records.extend(fetched.records);
            match fetched.next {
                Next::More(next) => cursor = Some(Cursor::stored(next.as_str())),
                Next::End(next) => return Ok((records, next)),
            }
        }
    }
}
