//! What the ledger says: identity, counters, the last failure, the gaps.
//!
//! Serialised as JSON, one object a slot. A field that an older program does not know is lost when that program
//! writes; a field that a newer one adds has a default.

use super::gaps::Gaps;
use crate::classify::Class;
use crate::wal::SegmentSize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One whole state of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The cluster and the repository that all this is about.
    pub identity: Identity,
    /// The cluster's segment size, known from the first lost segment on.
    pub segment_size: Option<SegmentSize>,
    /// What `push` counts.
    pub push: PushCounters,
    /// The last answer of `pgbackrest info`, while it was asked for.
    pub probe: Option<Probe>,
    /// The last stop of the server for which a push had to be ended: when it began, in seconds since 1970.
    pub held_up_stop: Option<i64>,
    /// Every gap.
    pub gaps: Gaps,
}

impl State {
    /// The segment size to reckon with.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size.unwrap_or(SegmentSize::DEFAULT)
    }
}

/// Counters of `push`, since the ledger was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PushCounters {
    /// Pushes that pgBackRest failed.
    pub failed_count: u64,
    /// Of these, the ones since the last success.
    pub consecutive_failures: u64,
    /// Segments and partial segments given up.
    pub dropped_count: u64,
    /// Segments and partial segments saved in the overflow folder.
    pub overflowed_count: u64,
    /// The newest failure.
    pub last_failure: Option<LastFailure>,
    /// When the repository was first found gone, with no success since; seconds since 1970.
    pub gone_since: Option<i64>,
}

/// One failure, as a person wants to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Seconds since 1970.
    pub at: i64,
    /// The WAL file's name.
    pub file: String,
    /// The class.
    pub class: Class,
    /// pgBackRest's exit code; `None` when it was ended by a signal or never started.
    pub code: Option<i32>,
    /// The store's code.
    pub s3_code: Option<String>,
    /// pgBackRest's text on one line, redacted.
    pub message: String,
}

/// What a listing of the bucket answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When, in seconds since 1970.
    pub at: i64,
    /// By repository: the code that says it is gone. A repository that is not listed answered something else.
    pub gone: BTreeMap<u32, String>,
    /// How many repositories were asked.
    #[serde(default)]
    pub asked: usize,
}

/// The cluster and the repository a ledger belongs to. `None` is what could not be read, and matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// PostgreSQL's system identifier.
    pub system_id: Option<u64>,
    /// The inode of `global/pg_control`: a copied or restored data directory has another.
    pub control_inode: Option<u64>,
    /// Every repository that pgBackRest pushes to.
    pub repositories: Option<Vec<RepositoryIdentity>>,
}

/// What tells one repository from another. Keys are no part of it: they are changed while the repository stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIdentity {
    /// Its number.
    pub key: u32,
    /// `posix`, `s3`, `azure`, `gcs`, `sftp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The store's endpoint, or the repository host.
    pub endpoint: String,
    /// Bucket or container.
    pub bucket: String,
    /// The path inside it.
    pub path: String,
}

impl Identity {
    /// What parts the two, if both know it and it differs.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<&'static str> {
        fn differs<T: PartialEq>(old: Option<&T>, new: Option<&T>) -> bool {
            matches!((old, new), (Some(old), Some(new)) if old != new)
        }
        if differs(self.system_id.as_ref(), now.system_id.as_ref()) {
            Some("the cluster's system identifier")
        } else if differs(self.control_inode.as_ref(), now.control_inode.as_ref()) {
            Some("the data directory (it was copied or restored)")
        } else if self.other_repositories(now) {
            Some("the repository's type, endpoint, bucket or path")
        } else {
            None
        }
    }

    /// What `.pgbackrest_backup_state` holds as `guard_identity`, to say whose stamps it has. The backups are in the first
    /// repository: another one beside it changes nothing.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        let mut identity = self.clone();
        if let Some(repositories) = &mut identity.repositories {
            repositories.truncate(1);
        }
        i64::from(crc32fast::hash(&serde_json::to_vec(&identity).unwrap_or_default()))
    }

    /// Whether a repository is another than it was, or none is the same. One that is added or taken away leaves the
    /// losses in the others what they are.
    fn other_repositories(&self, now: &Self) -> bool {
        let (Some(old), Some(new)) = (&self.repositories, &now.repositories) else { return false };
        let pairs = old.iter().filter_map(|old| Some((old, new.iter().find(|new| new.key == old.key)?)));
        let same: Vec<bool> = pairs.map(|(old, new)| old == new).collect();
        same.contains(&false) || (same.is_empty() && old != new)
    }

    /// This identity with what was unknown taken from `now`, and the repositories as they are now.
    #[must_use]
    pub fn completed_by(&self, now: &Self) -> Self {
        Self {
            system_id: self.system_id.or(now.system_id),
            control_inode: self.control_inode.or(now.control_inode),
            repositories: now.repositories.clone().or_else(|| self.repositories.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_differs_from_nothing() {
        let known = Identity { system_id: Some(1), control_inode: Some(2), repositories: Some(Vec::new()) };
        assert_eq!(known.difference(&Identity::default()), None);
        assert_eq!(Identity::default().difference(&known), None);
        assert_eq!(Identity::default().completed_by(&known), known);
        assert!(known.difference(&Identity { system_id: Some(3), ..known.clone() }).is_some());
        assert!(known.difference(&Identity { control_inode: Some(3), ..known.clone() }).is_some());
    }

    #[test]
    fn a_repository_that_is_added_is_no_other_beginning_and_one_that_changes_is() {
        let repository = |key, bucket: &str| RepositoryIdentity {
            key,
            kind: "s3".to_owned(),
            endpoint: "e".to_owned(),
            bucket: bucket.to_owned(),
            path: "/r".to_owned(),
        };
        let of = |repositories: &[RepositoryIdentity]| Identity {
            repositories: Some(repositories.to_vec()),
            ..Identity::default()
        };
        let one = of(&[repository(1, "a")]);
        let both = of(&[repository(1, "a"), repository(2, "b")]);
        assert_eq!((one.difference(&both), both.difference(&one)), (None, None));
        assert_eq!(one.completed_by(&both), both);
        assert!(one.difference(&of(&[repository(1, "c")])).is_some());
        assert!(one.difference(&of(&[repository(2, "a")])).is_some());
        assert!(both.difference(&of(&[repository(1, "a"), repository(2, "c")])).is_some());
    }

    #[test]
    fn stamps_stay_whose_they_are_when_a_repository_is_added_and_not_when_the_first_changes() {
        let of = |buckets: &[&str]| {
            let repository = |(at, bucket): (usize, &&str)| RepositoryIdentity {
                key: u32::try_from(at).unwrap() + 1,
                kind: "s3".to_owned(),
                endpoint: "e".to_owned(),
                bucket: (*bucket).to_owned(),
                path: "/r".to_owned(),
            };
            let repositories = Some(buckets.iter().enumerate().map(repository).collect());
            Identity { repositories, ..Identity::default() }.fingerprint()
        };
        assert_eq!(of(&["a"]), of(&["a", "b"]));
        assert_ne!(of(&["a"]), of(&["c"]));
    }

    #[test]
    fn a_state_without_fields_is_the_empty_one() {
        assert_eq!(serde_json::from_str::<State>("{}").unwrap(), State::default());
    }
}
