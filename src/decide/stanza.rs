//! Whether a missing stanza may be created unasked.
//!
//! An unmounted folder, a typo in a repository's path and a promoted standby whose configuration names another bucket look just
//! like a new repository: `pgbackrest info` finds no stanza. A stanza that is created there begins a second archive, and hides
//! the first. So it is created only for a cluster that has never archived anything, or where somebody asks for it.

use crate::wal::{Timeline, WalFile};

/// What PostgreSQL knows of its archive, and what of that was only given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The timeline that is written now.
    pub timeline: Option<Timeline>,
    /// How many files `pg_stat_archiver` counts as archived.
    pub archived_count: u64,
    /// How many files push has acknowledged that no repository has.
    pub given_up_count: u64,
    /// Those that are marked as archived in `archive_status`.
    pub done: Vec<WalFile>,
}

/// Whether nothing was ever archived. `given_up`: whether a file was acknowledged though no repository has it.
#[must_use]
pub fn has_never_archived(past: &Past, given_up: impl Fn(&WalFile) -> bool) -> bool {
    past.timeline == Some(Timeline(1)) && past.archived_count <= past.given_up_count && past.done.iter().all(given_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cluster_without_a_past_is_new() {
        let file: WalFile = "000000010000000000000003".parse().unwrap();
        let new = Past { timeline: Some(Timeline(1)), archived_count: 0, given_up_count: 0, done: Vec::new() };
        assert!(has_never_archived(&new, |_| false));
        let given_up = Past { archived_count: 1, given_up_count: 1, done: vec![file], ..new.clone() };
        assert!(has_never_archived(&given_up, |other| *other == file));
        for past in [
            Past { timeline: Some(Timeline(2)), ..new.clone() },
            Past { timeline: None, ..new.clone() },
            Past { archived_count: 1, ..new.clone() },
            Past { done: vec![file], ..new.clone() },
        ] {
            assert!(!has_never_archived(&past, |_| false), "{past:?}");
        }
        assert!(!has_never_archived(&Past { archived_count: 2, ..given_up }, |_| true));
    }
}
