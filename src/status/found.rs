//! What a report is made of: what was asked for, and what was found at the data directory.

use super::ask::Answer;
use super::server::{Asking, Heard};
use crate::data_directory::{Control, DataDirectory};
use crate::ledger::state::{Identity, Place, State};
use crate::pgbackrest::config::Config;
use crate::settings::{BackupIntervals, CommonSettings, DropMeasure, Mebibytes, Seconds, TakenBy};
use crate::setup;
use std::path::PathBuf;

/// What a report is made of, and under which settings.
#[derive(Debug)]
pub struct Request {
    /// The settings of every program.
    pub common: CommonSettings,
    /// Push's threshold, where it is set.
    pub drop_threshold: Option<Mebibytes>,
    /// Push's reserve, where it is set.
    pub free_reserve: Option<Mebibytes>,
    /// What push measures against the threshold.
    pub drop_measure: DropMeasure,
    /// Where segments lie that were saved instead of lost.
    pub overflow: Option<PathBuf>,
    /// What the cluster is called, for the metrics.
    pub cluster_name: String,
    /// Who takes the backups.
    pub taken_by: TakenBy,
    /// How old the last drill that passed may be; 0: however old.
    pub drill_max_age: Seconds,
    /// How often backups are due.
    pub intervals: BackupIntervals,
    /// Between two checks of the catalog; 0: never.
    pub verify: Seconds,
    /// What setup would be asked for, where a bucket is named.
    pub setup: Option<setup::Request>,
    /// pgBackRest's configuration, if it can be read.
    pub config: Option<Config>,
    /// Whether the server is asked, and how.
    pub server: Asking,
    /// What the repository answered, if it was asked.
    pub answer: Option<Answer>,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// What is found at the data directory.
pub(super) struct Found<'r> {
    pub(super) request: &'r Request,
    pub(super) directory: DataDirectory,
    pub(super) control: Option<Control>,
    /// The ledger's state, if it is this cluster's.
    pub(super) state: Option<State>,
    pub(super) heard: Heard,
    /// Whether the server is recovering, or was when it stopped.
    pub(super) in_recovery: Option<bool>,
}

impl Found<'_> {
    /// Whose data directory it is.
    pub(super) fn identity(&self) -> Identity {
        Identity { system_id: self.control.map(|control| control.system_id) }
    }

    /// Whether the ledger came from another node, or was made here after a promotion, and has not been held against the
    /// archive's listing on this one.
    pub(super) fn is_unchecked(&self) -> bool {
        let here = Place { control_inode: self.control.map(|control| control.inode), repositories: None };
        let promoted = self.in_recovery == Some(false) && self.timeline().is_some_and(|timeline| timeline > 1);
        let checked = self.state.as_ref().and_then(|state| state.checked.as_ref());
        checked.is_some_and(|checked| checked.is_another_node(&here) || promoted && checked.repositories.is_none())
    }

    /// The timeline, by the server's word where it answers.
    pub(super) fn timeline(&self) -> Option<u32> {
        let answered = self.heard.archiver().and_then(|archiver| archiver.timeline);
        answered.or(self.control.map(|control| control.timeline))
    }
}
