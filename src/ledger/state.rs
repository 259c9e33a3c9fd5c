//! What the ledger says: identity, counters, the last failure, the gaps.
//!
//! Serialised as JSON, one object a slot. A field that an older program does not know is lost when that program
//! writes; a field that a newer one adds has a default.

use super::gaps::Gaps;
use super::kept_files::KeptFiles;
use super::moment::Moment;
use crate::pgbackrest::failure::Class;
use crate::pgbackrest::identity::RepositoryIdentity;
use crate::wal::{SegmentName, SegmentSize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One whole state of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The cluster that all this is about.
    pub identity: Identity,
    /// Where it was last held against the archive's listing; at first, where it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<Place>,
    /// Deferred files that are another cluster's, whose ledger lies aside.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub foreign_deferred: BTreeSet<String>,
    /// Deferred files that were this cluster's when its ledger was last set aside. While it is in use, all are that are not
    /// another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_deferred: Option<BTreeSet<String>>,
    /// Deferred files that no file could be made for.
    #[serde(skip_serializing_if = "KeptFiles::is_empty")]
    pub kept_files: KeptFiles,
    /// The cluster's segment size, known from the first lost segment on.
    pub segment_size: Option<SegmentSize>,
    /// What `push` counts.
    pub push: PushCounters,
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

    /// Whether a deferred file was this cluster's when its ledger was set aside.
    #[must_use]
    pub fn owns(&self, deferred: &str) -> bool {
        self.own_deferred.as_ref().is_some_and(|own| own.contains(deferred))
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
    /// When that was, by a clock that nobody sets, and how many seconds it took.
    pub failed_at: Option<(Moment, u64)>,
    /// When the repository was first found gone, with no success since.
    pub gone_from: Option<Moment>,
    /// When pgBackRest first failed, with no success since. A shutdown is no failure, and slowness is none.
    pub failing_from: Option<Moment>,
    /// Where some repositories failed while the others took the file: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<Out>,
    /// What the others have of the WAL that waits for those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
}

impl PushCounters {
    /// The repositories take files again: it ends a run of failures.
    pub fn works_again(&mut self) {
        self.serves_again();
        (self.out, self.ahead) = (None, None);
    }

    /// Those of them that are required do.
    pub fn serves_again(&mut self) {
        self.consecutive_failures = 0;
        self.gone_from = None;
        self.failing_from = None;
    }
}

/// Repositories that failed while others took the same file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// Their numbers.
    pub repositories: Vec<u32>,
    /// When they were last asked.
    pub at: Moment,
    /// How many seconds that took.
    pub took: u64,
    /// What the last one of them said.
    pub failure: LastFailure,
}

/// Segments in a row that these repositories have, and that PostgreSQL keeps for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The first one.
    pub first: SegmentName,
    /// The last one, on the same timeline.
    pub last: SegmentName,
    /// The numbers of the repositories.
    pub repositories: Vec<u32>,
}

impl Ahead {
    /// Whether these repositories have a segment.
    #[must_use]
    pub fn holds(&self, segment: SegmentName, repositories: &[u32], size: SegmentSize) -> bool {
        let numbers = self.first.number(size)..=self.last.number(size);
        self.first.timeline() == segment.timeline()
            && numbers.contains(&segment.number(size))
            && repositories.iter().all(|key| self.repositories.contains(key))
    }

    /// The same and one more segment: in a row with what was there, else alone.
    #[must_use]
    pub fn with(before: Option<Self>, segment: SegmentName, repositories: &[u32], size: SegmentSize) -> Self {
        let alone = Self { first: segment, last: segment, repositories: repositories.to_vec() };
        match before {
            Some(before) if before.holds(segment, repositories, size) => before,
            Some(before) if before.is_followed_by(segment, size) && before.repositories == repositories => {
                Self { last: segment, ..before }
            }
            _ => alone,
        }
    }

    fn is_followed_by(&self, segment: SegmentName, size: SegmentSize) -> bool {
        self.last.timeline() == segment.timeline() && self.last.number(size) + 1 == segment.number(size)
    }
}

/// One failure, as a person wants to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When it failed, in seconds since 1970.
    pub at: i64,
    /// The WAL file's name.
    pub file: String,
    /// What kind of failure it was.
    pub class: Class,
    /// pgBackRest's exit code; `None` when it was ended by a signal or never started.
    pub code: Option<i32>,
    /// The code in the store's answer, such as `AccessDenied`.
    pub s3_code: Option<String>,
    /// pgBackRest's text on one line, redacted.
    pub message: String,
}

/// The cluster that a ledger belongs to, and nothing else: its losses stay lost whatever happens to a configuration, a
/// repository's name or the data directory's place. `None` is what could not be read, and matches everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// PostgreSQL's system identifier; `None` where `pg_control` could not be read.
    pub system_id: Option<u64>,
}

impl Identity {
    /// Whether both are known and differ.
    #[must_use]
    pub fn is_another(self, now: Self) -> bool {
        matches!((self.system_id, now.system_id), (Some(one), Some(other)) if one != other)
    }

    /// This identity with what was unknown taken from `now`.
    #[must_use]
    pub fn completed_by(self, now: Self) -> Self {
        Self { system_id: self.system_id.or(now.system_id) }
    }
}

/// Where a ledger was last held against the archive's listing: on which node, in which repositories. What it claims of the
/// archive is looked up anew where one of them has changed. `None` is what could not be read, and matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The inode of `global/pg_control`: a copied, restored or re-cloned data directory has another.
    pub control_inode: Option<u64>,
    /// Every repository that pgBackRest pushes to.
    pub repositories: Option<Vec<RepositoryIdentity>>,
}

impl Place {
    /// What parts the two, if both know it and it differs.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<&'static str> {
        if self.is_another_node(now) {
            Some("the data directory (it was copied, restored or rewound)")
        } else if self.other_repositories(now) {
            Some("the repository's type, endpoint, bucket or path")
        } else {
            None
        }
    }

    /// Whether the data directory is another one.
    #[must_use]
    pub fn is_another_node(&self, now: &Self) -> bool {
        matches!((self.control_inode, now.control_inode), (Some(one), Some(other)) if one != other)
    }

    /// Whether a repository is another than it was, or none is the same. One that is added or taken away leaves the
    /// losses in the others what they are.
    fn other_repositories(&self, now: &Self) -> bool {
        let (Some(old), Some(new)) = (&self.repositories, &now.repositories) else { return false };
        let pairs = old.iter().filter_map(|old| Some((old, new.iter().find(|new| new.key == old.key)?)));
        let same: Vec<bool> = pairs.map(|(old, new)| old == new).collect();
        same.contains(&false) || (same.is_empty() && old != new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_system_identifier_is_another_cluster() {
        let of = |system_id| Identity { system_id };
        assert!(of(Some(1)).is_another(of(Some(2))));
        for (one, other) in [(Some(1), Some(1)), (Some(1), None), (None, Some(1)), (None, None)] {
            assert!(!of(one).is_another(of(other)), "{one:?} {other:?}");
        }
        assert_eq!(of(None).completed_by(of(Some(1))), of(Some(1)));
        assert_eq!(of(Some(1)).completed_by(of(None)), of(Some(1)));
    }

    #[test]
    fn a_place_is_another_where_node_or_repository_has_changed() {
        let repository = |key, bucket: &str| RepositoryIdentity {
            key,
            kind: "s3".to_owned(),
            endpoint: "e".to_owned(),
            bucket: bucket.to_owned(),
            path: "/r".to_owned(),
        };
        let of = |repositories: &[RepositoryIdentity]| Place {
            control_inode: Some(9),
            repositories: Some(repositories.to_vec()),
        };
        let (one, both) = (of(&[repository(1, "a")]), of(&[repository(1, "a"), repository(2, "b")]));
        assert_eq!((one.difference(&both), both.difference(&one)), (None, None));
        for other in
            [of(&[repository(1, "c")]), of(&[repository(2, "a")]), Place { control_inode: Some(8), ..one.clone() }]
        {
            assert!(one.difference(&other).is_some(), "{other:?}");
        }
        assert!(both.difference(&of(&[repository(1, "a"), repository(2, "c")])).is_some());
        assert_eq!((one.difference(&Place::default()), Place::default().difference(&one)), (None, None));
    }

    #[test]
    fn segments_that_are_ahead_are_a_row_in_the_same_repositories() {
        let size = SegmentSize::DEFAULT;
        let segment = |number| SegmentName::from_number(crate::wal::Timeline(1), number, size).unwrap();
        let ahead = Ahead::with(None, segment(7), &[1], size);
        let ahead = Ahead::with(Some(ahead), segment(8), &[1], size);
        let holds = |number, repositories: &[u32]| ahead.holds(segment(number), repositories, size);
        assert!(holds(7, &[1]) && holds(8, &[1]) && !holds(6, &[1]) && !holds(9, &[1]) && !holds(8, &[1, 3]));
        assert_eq!(Ahead::with(Some(ahead.clone()), segment(7), &[1], size), ahead);
        let elsewhere = Ahead::with(Some(ahead.clone()), segment(9), &[2], size);
        assert_eq!((elsewhere.first, elsewhere.repositories), (segment(9), vec![2]));
        assert_eq!(Ahead::with(Some(ahead), segment(10), &[1], size).first, segment(10));
    }

    #[test]
    fn a_ledger_of_an_older_version_is_read() {
        let old = r#"{"identity":{"system_id":7,"control_inode":9,"repositories":[]},"push":{"failed_count":3}}"#;
        let state: State = serde_json::from_str(old).unwrap();
        assert_eq!((state.identity.system_id, state.push.failed_count, state.checked), (Some(7), 3, None));
    }

    #[test]
    fn words_of_a_newer_version_are_kept_and_shown() {
        let newer = r#"{"at":1,"file":"x","class":"quota-exceeded","code":null,"s3_code":null,"message":"m"}"#;
        let failure: LastFailure = serde_json::from_str(newer).unwrap();
        assert_eq!(failure.class.as_str(), "quota-exceeded");
        assert_eq!(serde_json::to_string(&failure).unwrap(), newer);
    }

    #[test]
    fn a_state_without_fields_is_the_empty_one() {
        assert_eq!(serde_json::from_str::<State>("{}").unwrap(), State::default());
    }
}
