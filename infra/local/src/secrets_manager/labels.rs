//! Versions and staging labels: who may hold which label, and what moves with it. No storage, no clock.
//!
//! A secret's labels are a map from label to version. That a label sits on one version is therefore not a rule to keep
//! but the only thing that can be said.

use std::collections::BTreeMap;

use super::error::Error;

/// The version that a read without further words returns.
pub(super) const CURRENT: &str = "AWSCURRENT";
/// The version that was current before.
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";
/// The version a rotation is preparing.
const PENDING: &str = "AWSPENDING";

/// How many labels the versions of one secret may hold between them.
const LIMIT: usize = 20;

/// The id of a version: the `ClientRequestToken` of the request that made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionId(String);

impl VersionId {
    /// Accepts 32 to 64 characters; `member` is the request's name for the value.
    pub(super) fn parse(member: &str, id: String) -> Result<Self, Error> {
        match id.chars().count() {
            0..32 => Err(Error::constraint(member, "have length greater than or equal to 32")),
            32..=64 => Ok(Self(id)),
            _ => Err(Error::constraint(member, "have length less than or equal to 64")),
        }
    }

    /// An id out of the database, where only parsed ones are.
    pub(super) fn stored(id: String) -> Self {
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The labels of one secret and the versions they sit on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(BTreeMap<String, VersionId>);

impl Labels {
    /// The version with this label.
    pub(super) fn holder(&self, label: &str) -> Option<&VersionId> {
        self.0.get(label)
    }

    /// The labels on this version, in alphabetical order. None: the version is deprecated.
    pub(super) fn of(&self, version: &VersionId) -> Vec<&str> {
        self.iter().filter(|(_, holder)| *holder == version).map(|(label, _)| label).collect()
    }

    /// Every labelled version with its labels.
    pub(super) fn by_version(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut versions = BTreeMap::<_, Vec<_>>::new();
        for (label, version) in self.iter() {
            versions.entry(version.as_str()).or_default().push(label);
        }
        versions
    }

    /// Every label with its version.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &VersionId)> {
        self.0.iter().map(|(label, version)| (label.as_str(), version))
    }

    /// Labels a new version. Without `stages` it becomes the current one; a secret's first version always does.
    pub(super) fn place(&mut self, version: &VersionId, stages: &[String]) -> Result<(), Error> {
        for label in stages.iter().filter(|label| *label != CURRENT) {
            self.0.insert(label.clone(), version.clone());
        }
        let becomes_current =
            stages.is_empty() || stages.iter().any(|label| label == CURRENT) || !self.0.contains_key(CURRENT);
        if becomes_current
            && let Some(demoted) = self.promote(version)
            && self.holder(PENDING) == Some(&demoted)
        {
            // A version that was prepared and has been current since is no longer pending once it is replaced.
            self.0.remove(PENDING);
        }
        self.within_limit()
    }

    /// Moves a label by hand: off `from`, onto `to`, either or both.
    pub(super) fn relabel(
        &mut self,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), Error> {
        let holder = self.holder(label);
        match (from, to, holder) {
            (None, None, _) => Err(Error::InvalidParameter(
                "You must specify MoveToVersionId, RemoveFromVersionId or both.".to_owned(),
            )),
            (Some(from), _, holder) if holder != Some(from) => Err(Error::InvalidParameter(format!(
                "The staging label {label} isn't attached to the version {} in RemoveFromVersionId.",
                from.as_str()
            ))),
            (None, Some(to), Some(holder)) if holder != to => Err(Error::InvalidParameter(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to \
                 version {}, so you must explicitly reference that version in RemoveFromVersionId.",
                holder.as_str()
            ))),
            (_, None, _) if label == CURRENT => Err(Error::InvalidParameter(
                "You can only move staging label AWSCURRENT to a different secret version. It can't be completely \
                 removed."
                    .to_owned(),
            )),
            (_, None, _) => {
                self.0.remove(label);
                Ok(())
            }
            (_, Some(to), _) if label == CURRENT => {
                self.promote(to);
                self.within_limit()
            }
            (_, Some(to), _) => {
                self.0.insert(label.to_owned(), to.clone());
                self.within_limit()
            }
        }
    }

    /// Makes a version the current one and, if that moved the label, the one it was on the previous one: the returned.
    fn promote(&mut self, version: &VersionId) -> Option<VersionId> {
        let demoted = self.0.insert(CURRENT.to_owned(), version.clone()).filter(|demoted| demoted != version)?;
        self.0.insert(PREVIOUS.to_owned(), demoted.clone());
        Some(demoted)
    }

    fn within_limit(&self) -> Result<(), Error> {
        if self.0.len() > LIMIT {
            return Err(Error::LimitExceeded(format!(
                "You can attach at most {LIMIT} staging labels across all versions of a secret."
            )));
        }
        Ok(())
    }
}

impl FromIterator<(String, VersionId)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, VersionId)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u8) -> VersionId {
        VersionId::parse("version", format!("{number:032}")).unwrap()
    }

    fn stages(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn an_id_has_32_to_64_characters() {
        for (length, accepted) in [(31, false), (32, true), (64, true), (65, false)] {
            assert_eq!(VersionId::parse("clientRequestToken", "x".repeat(length)).is_ok(), accepted, "{length}");
        }
    }

    #[test]
    fn the_first_version_is_current_whatever_its_labels() {
        let mut labels = Labels::default();
        labels.place(&version(1), &stages(&["AWSPENDING"])).unwrap();
        assert_eq!(labels.of(&version(1)), ["AWSCURRENT", "AWSPENDING"]);
    }

    #[test]
    fn a_new_current_version_leaves_previous_on_the_old_one_only() {
        let mut labels = Labels::default();
        for number in 1..=3 {
            labels.place(&version(number), &[]).unwrap();
        }
        assert_eq!(labels.of(&version(3)), ["AWSCURRENT"]);
        assert_eq!(labels.of(&version(2)), ["AWSPREVIOUS"]);
        assert!(labels.of(&version(1)).is_empty());
    }

    #[test]
    fn other_labels_leave_current_alone() {
        let mut labels = Labels::default();
        labels.place(&version(1), &[]).unwrap();
        labels.place(&version(2), &stages(&["keep-abc"])).unwrap();
        assert_eq!(labels.of(&version(1)), ["AWSCURRENT"]);
        assert_eq!(labels.of(&version(2)), ["keep-abc"]);
        assert_eq!(labels.holder(PREVIOUS), None);
    }

    #[test]
    fn a_promoted_pending_version_stops_being_pending_when_it_is_replaced() {
        let mut labels = Labels::default();
        labels.place(&version(1), &[]).unwrap();
        labels.place(&version(2), &stages(&["AWSPENDING", "keep-abc"])).unwrap();
        labels.relabel(CURRENT, Some(&version(1)), Some(&version(2))).unwrap();
        assert_eq!(labels.of(&version(2)), ["AWSCURRENT", "AWSPENDING", "keep-abc"]);
        labels.place(&version(3), &[]).unwrap();
        assert_eq!(labels.of(&version(2)), ["AWSPREVIOUS", "keep-abc"]);
    }

    #[test]
    fn promoting_the_current_version_changes_nothing() {
        let mut labels = Labels::default();
        labels.place(&version(1), &[]).unwrap();
        labels.place(&version(2), &[]).unwrap();
        let before = labels.clone();
        labels.relabel(CURRENT, None, Some(&version(2))).unwrap();
        labels.relabel(CURRENT, Some(&version(2)), Some(&version(2))).unwrap();
        assert_eq!(labels, before);
    }

    #[test]
    fn moving_current_back_swaps_it_with_previous() {
        let mut labels = Labels::default();
        labels.place(&version(1), &[]).unwrap();
        labels.place(&version(2), &[]).unwrap();
        labels.relabel(CURRENT, Some(&version(2)), Some(&version(1))).unwrap();
        assert_eq!(labels.of(&version(1)), ["AWSCURRENT"]);
        assert_eq!(labels.of(&version(2)), ["AWSPREVIOUS"]);
    }

    #[test]
    fn twenty_labels_fit_on_a_secret_and_a_moved_one_counts_once() {
        let mut labels = Labels::default();
        labels.place(&version(1), &[]).unwrap();
        let many: Vec<String> = (1..20).map(|number| format!("label-{number}")).collect();
        labels.place(&version(2), &many).unwrap();
        labels.relabel("label-1", Some(&version(2)), Some(&version(1))).unwrap();
        assert!(matches!(labels.relabel("one-more", None, Some(&version(1))), Err(Error::LimitExceeded(_))));
    }
}
