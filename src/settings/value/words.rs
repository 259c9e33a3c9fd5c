//! Values that are one of a few words.

use super::RepositoryList;
use crate::bad_value::BadValue;
use std::str::FromStr;

/// What is measured against the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropMeasure {
    /// WAL that waits for archiving.
    Backlog,
    /// Everything in `pg_wal`.
    PgWal,
}

impl FromStr for DropMeasure {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "backlog" => Ok(Self::Backlog),
            "pg_wal" => Ok(Self::PgWal),
            _ => Err(BadValue("not backlog or pg_wal")),
        }
    }
}

/// The kind of backup that seals a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapBackup {
    /// A full one.
    Full,
    /// A differential one.
    Diff,
}

impl FromStr for GapBackup {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "full" => Ok(Self::Full),
            "diff" => Ok(Self::Diff),
            _ => Err(BadValue("not full or diff")),
        }
    }
}

/// Who takes base backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBy {
    /// The watcher.
    Watch,
    /// Somebody else: cron, a repository host, an operator.
    Others,
}

impl FromStr for TakenBy {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "watch" => Ok(Self::Watch),
            "others" => Ok(Self::Others),
            _ => Err(BadValue("not watch or others")),
        }
    }
}

/// The repositories that must have a WAL file before PostgreSQL may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequiredRepositories {
    /// Every one that is configured.
    All,
    /// One of them, whichever.
    Any,
    /// Those of these numbers.
    These(RepositoryList),
}

impl RequiredRepositories {
    /// Whether what `has` a file is enough, of these that are `configured`. Of a list what is not configured doesn't count, and
    /// one that names nothing configured means all.
    #[must_use]
    pub fn are_served_by(&self, has: &[u32], configured: &[u32]) -> bool {
        let all_of = |wanted: &[u32]| wanted.iter().all(|key| has.contains(key));
        match self {
            Self::All => all_of(configured),
            Self::Any => configured.iter().any(|key| has.contains(key)),
            Self::These(list) => {
                let wanted: Vec<u32> = list.numbers().iter().copied().filter(|key| configured.contains(key)).collect();
                all_of(if wanted.is_empty() { configured } else { &wanted })
            }
        }
    }
}

impl FromStr for RequiredRepositories {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "all" => Ok(Self::All),
            "any" => Ok(Self::Any),
            list => {
                let list = list.parse().map_err(|_| BadValue("not all, any or a list of repositories, such as 1,2"))?;
                Ok(Self::These(list))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_all_any_or_a_list() {
        let served =
            |text: &str, has: &[u32]| text.parse::<RequiredRepositories>().unwrap().are_served_by(has, &[1, 2, 3]);
        for (text, enough, too_little) in [
            ("all", &[3, 2, 1][..], &[1, 2][..]),
            ("any", &[3], &[]),
            ("1,3", &[1, 3], &[1, 2]),
            ("1,9", &[1], &[2, 3]),
            ("9", &[1, 2, 3], &[1, 2]),
        ] {
            assert!(served(text, enough) && !served(text, too_little), "{text}");
        }
        for wrong in ["some", "1;2", "0", "all,1"] {
            assert!(wrong.parse::<RequiredRepositories>().is_err(), "{wrong}");
        }
    }
}
