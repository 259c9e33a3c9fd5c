//! Who takes base backups: the watcher, or others beside it (cron, a repository host, an operator).
//!
//! Where pgBackRest refuses a backup from here in any case, trying one each ten minutes would help nobody: then it is others
//! who take them, whatever is set.

use crate::pgbackrest::info::Newest;
use crate::pgbackrest::version::Version;
use std::fmt;

/// Why the watcher takes no backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// `WAL_BACKUP_TAKEN_BY=others`.
    Asked,
    /// pgBackRest refuses a server whose `archive_mode` is `always` (67).
    ArchivesAlways,
    /// The repository is on another host, and this pgBackRest takes backups there only (72).
    RepositoryHost {
        /// The repository's number N, as in `repoN-path`; from 1 on.
        repository: u32,
        /// pgBackRest's version.
        version: Version,
    },
}

/// A repository that is on another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its number.
    pub repository: u32,
    /// pgBackRest's version; `None` where it could not be told.
    pub version: Option<Version>,
}

/// Who takes the backups: `None` is the watcher. `remote`: where a backup would go, if that is on another host.
#[must_use]
pub fn others(asked: bool, archives_always: bool, remote: Option<Remote>) -> Option<Others> {
    if asked {
        return Some(Others::Asked);
    }
    if archives_always {
        return Some(Others::ArchivesAlways);
    }
    let Remote { repository, version } = remote?;
    let version = version.filter(|version| *version < Version::BACKUP_TO_REMOTE)?;
    Some(Others::RepositoryHost { repository, version })
}

impl Others {
    /// Whether nobody has asked for it.
    #[must_use]
    pub fn is_forced(self) -> bool {
        self != Self::Asked
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("WAL_BACKUP_TAKEN_BY=others"),
            Self::ArchivesAlways => {
                f.write_str("archive_mode is always, and pgBackRest refuses to back up such a server (67)")
            }
            Self::RepositoryHost { repository, version } => {
                write!(
                    f,
                    "repository {repository} is on another host, and pgBackRest {version} takes backups on that host \
                     only (72)"
                )
            }
        }
    }
}

/// What is on record after the catalog was seen: `None` where that changes nothing. A newer backup counts, whoever took it;
/// where others take them all, the catalog alone counts, so that one that is gone counts no more. Times in seconds since
/// 1970; one of a clock that was ahead counts as made now.
#[must_use]
pub fn adopted(full: Option<i64>, any: Option<i64>, seen: Newest, by_others: bool, now: i64) -> Option<Newest> {
    let at = |stamp: Option<i64>, seen: i64| {
        let seen = seen.min(now);
        stamp.filter(|stamp| !by_others && *stamp > seen).unwrap_or(seen)
    };
    let adopted = Newest { full: at(full, seen.full), any: at(any, seen.any) };
    (full != Some(adopted.full) || any != Some(adopted.any)).then_some(adopted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_take_them_where_asked_and_where_pgbackrest_refuses() {
        let old = Version { major: 2, minor: 54 };
        let remote = |version| Some(Remote { repository: 2, version });
        let table = [
            (false, false, None, None),
            (true, true, remote(Some(old)), Some(Others::Asked)),
            (false, true, None, Some(Others::ArchivesAlways)),
            (false, false, remote(Some(old)), Some(Others::RepositoryHost { repository: 2, version: old })),
            (false, false, remote(Some(Version::BACKUP_TO_REMOTE)), None),
            (false, false, remote(None), None),
        ];
        for (asked, always, remote, expected) in table {
            assert_eq!(others(asked, always, remote), expected, "{asked} {always} {remote:?}");
        }
        assert!(Others::ArchivesAlways.is_forced() && !Others::Asked.is_forced());
    }

    #[test]
    fn a_newer_backup_counts_whoever_took_it() {
        let seen = Newest { full: 500, any: 600 };
        assert_eq!(adopted(None, None, seen, false, 1_000), Some(seen));
        assert_eq!(adopted(Some(500), Some(600), seen, false, 1_000), None);
        assert_eq!(adopted(Some(501), Some(601), seen, false, 1_000), None, "our own stamp is of a moment later");
        assert_eq!(adopted(Some(700), Some(550), seen, false, 1_000), Some(Newest { full: 700, any: 600 }));
        assert_eq!(adopted(Some(700), Some(700), seen, true, 1_000), Some(seen), "it has expired");
        assert_eq!(adopted(None, None, seen, true, 400), Some(Newest { full: 400, any: 400 }));
    }
}
