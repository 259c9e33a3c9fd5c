//! Whether a moment can be restored, out of the windows, and if not, which moments near it can.

use super::windows::{Backup, Window};

/// What is to be said of a moment. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It can be restored.
    Yes {
        /// The backup from which.
        backup: String,
        /// The repository that holds it.
        repository: u32,
        /// The timeline on which.
        timeline: u32,
    },
    /// It can't.
    No {
        /// What stands in the way.
        why: Why,
        /// The nearest moment before it that can be, and the backup.
        before: Option<(i64, String)>,
        /// The nearest moment after it that can be, and the backup.
        after: Option<(i64, String)>,
    },
}

/// Why a moment can't be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no window at all.
    NoWindow,
    /// It is older than every window.
    BeforeTheFirst,
    /// WAL is missing there.
    Missing,
    /// No commit that is known to be archived is newer, and a recovery stops only before one.
    NotArchived,
    /// WAL of that time may be archived, but no commit in it is known.
    Unknown,
    /// That part of the archive was not walked through, or not yet.
    NotVerified,
}

impl Why {
    /// Whether it is not known that it can't.
    #[must_use]
    pub fn is_doubt(self) -> bool {
        matches!(self, Self::Unknown | Self::NotVerified)
    }
}

impl Why {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoWindow => "there is no backup to restore from",
            Self::BeforeTheFirst => "it is older than every usable backup",
            Self::Missing => "WAL of that time is missing",
            Self::NotArchived => "no commit after it is known to be archived yet",
            Self::Unknown => "no commit after it is known, though WAL of that time may be archived",
            Self::NotVerified => {
                "that part of the archive is not verified yet; pgbackrest-guard watch --once verifies it"
            }
        }
    }
}

const SECOND: i64 = 1_000_000;

/// Says whether a moment, in microseconds since 1970, can be restored. `unverified_from` is the time from which on some archive
/// holds what no walk has looked at, in seconds since 1970.
#[must_use]
pub fn answer(windows: &[Window], backups: &[Backup], unverified_from: Option<i64>, at: i64) -> Answer {
    let holding = windows.iter().filter(|window| holds(window, windows, at));
    if let Some(window) = holding.max_by_key(|window| (window.timeline, std::cmp::Reverse(window.repository))) {
        let backup = nearest(window, windows, backups, at);
        return Answer::Yes { backup, repository: window.repository, timeline: window.timeline };
    }
    let why = match unverified_from {
        Some(from) if micros(from) <= at => Why::NotVerified,
        Some(_) if windows.is_empty() => Why::BeforeTheFirst,
        _ => why(windows, at),
    };
    Answer::No { why, before: before(windows, at), after: after(windows, at) }
}

/// Whether a recovery to the moment ends in the window: it lies in it, or between it and the older ones it goes on from.
fn holds(window: &Window, windows: &[Window], at: i64) -> bool {
    let Some(to) = window.to_at.filter(|to| at <= micros(*to)) else { return false };
    let began = |older: &&Window| {
        older.backup == window.backup
            && older.repository == window.repository
            && older.timeline < window.timeline
            && older.from <= window.from
            && !older.continues
    };
    let own = window.from_at.filter(|_| !window.continues);
    let from = own.or_else(|| windows.iter().find(began).and_then(|first| first.from_at)).unwrap_or(to);
    micros(from) <= at
}

/// The newest backup on the window's way that ended before the moment.
fn nearest(window: &Window, windows: &[Window], backups: &[Backup], at: i64) -> String {
    newest_on_way(window, windows, backups, |backup| micros(backup.stop_at + 1) <= at)
}

/// The newest backup that `is_usable` on the way that leads into a window; the window's own where none is newer.
pub(super) fn newest_on_way(
    window: &Window,
    windows: &[Window],
    backups: &[Backup],
    is_usable: impl Fn(&Backup) -> bool,
) -> String {
    let way = |backup: &&Backup| {
        let timeline = backup.start.timeline().0;
        let on = |one: &Window| {
            let from_first =
                one.backup == window.backup && one.repository == window.repository && one.timeline == timeline;
            let inside = backup.stop_lsn.is_none_or(|lsn| (one.from..=one.to).contains(&lsn));
            let left = timeline == window.timeline || backup.stop_lsn.is_some_and(|lsn| lsn <= window.from);
            from_first && inside && left
        };
        backup.repository == window.repository && is_usable(backup) && windows.iter().any(on)
    };
    let newest = backups.iter().filter(way).max_by_key(|backup| (backup.stop_at, &backup.label));
    newest.map_or_else(|| window.backup.clone(), |backup| backup.label.clone())
}

fn before(windows: &[Window], at: i64) -> Option<(i64, String)> {
    let ends = windows.iter().filter_map(|window| Some((window.to_at?, window.backup.clone())));
    ends.filter(|(to, _)| micros(*to) < at).max()
}

fn after(windows: &[Window], at: i64) -> Option<(i64, String)> {
    let dated = windows.iter().filter(|window| window.to_at.is_some() && !window.continues);
    let begins = dated.filter_map(|window| Some((window.from_at?, window.backup.clone())));
    begins.filter(|(from, _)| micros(*from) > at).min()
}

fn why(windows: &[Window], at: i64) -> Why {
    let began = |window: &&Window| window.from_at.is_some_and(|from| micros(from) <= at);
    let last = windows.iter().filter(began).max_by_key(|window| (window.from_at, window.timeline));
    let follows =
        windows.iter().any(|window| !window.continues && window.from_at.is_some_and(|from| micros(from) > at));
    match last {
        None if windows.is_empty() => Why::NoWindow,
        None => Why::BeforeTheFirst,
        Some(window) if window.to_at.is_none() => Why::Unknown,
        Some(_) if follows => Why::Missing,
        Some(_) => Why::NotArchived,
    }
}

fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(timeline: u32, positions: (u64, u64), from_at: Option<i64>, to_at: Option<i64>, backup: &str) -> Window {
        let (from, to) = positions;
        let backup = backup.to_owned();
        Window { timeline, from, to, from_at, to_at, backup, repository: 1, continues: false }
    }

    fn backup(label: &str, timeline: u32, stop_lsn: u64, stop_at: i64) -> Backup {
        let segment = format!("{timeline:08X}0000000000000001").parse().unwrap();
        let label = label.to_owned();
        Backup { label, repository: 1, start: segment, stop: segment, stop_lsn: Some(stop_lsn), stop_at }
    }

    fn no(why: Why, before: Option<i64>, after: Option<i64>) -> Answer {
        let named = |at: Option<i64>, name: &str| at.map(|at| (at, name.to_owned()));
        Answer::No { why, before: named(before, "A"), after: named(after, "B") }
    }

    fn yes(backup: &str, timeline: u32) -> Answer {
        Answer::Yes { backup: backup.to_owned(), repository: 1, timeline }
    }

    #[test]
    fn a_moment_is_inside_a_window_or_between_two() {
        let windows =
            [window(1, (10, 100), Some(1_000), Some(2_000), "A"), window(1, (200, 300), Some(3_000), Some(4_000), "B")];
        let backups = [backup("A", 1, 10, 1_000), backup("A2", 1, 50, 1_500), backup("B", 1, 200, 3_000)];
        let at = |second: i64| answer(&windows, &backups, None, micros(second));
        assert_eq!(at(999), no(Why::BeforeTheFirst, None, Some(1_000)).with_after("A"));
        assert_eq!(at(1_000), yes("A", 1));
        assert_eq!(at(1_500), yes("A", 1), "a backup that ends at the moment is none before it");
        assert_eq!(at(1_501), yes("A2", 1));
        assert_eq!(answer(&windows, &backups, None, micros(1_501) - 1), yes("A", 1), "its stop is rounded down");
        assert_eq!(at(2_000), yes("A2", 1));
        assert_eq!(at(2_001), no(Why::Missing, Some(2_000), Some(3_000)));
        assert_eq!(answer(&windows, &backups, None, micros(2_000) + 1), no(Why::Missing, Some(2_000), Some(3_000)));
        assert_eq!(at(3_500), yes("B", 1));
        assert_eq!(at(4_001), Answer::No { why: Why::NotArchived, before: Some((4_000, "B".to_owned())), after: None });
        assert_eq!(answer(&[], &[], None, 0), no(Why::NoWindow, None, None));
    }

    #[test]
    fn where_no_commit_is_known_nothing_is_claimed() {
        let windows = [window(1, (10, 100), Some(1_000), None, "A")];
        assert_eq!(answer(&windows, &[], None, micros(1_500)), no(Why::Unknown, None, None));
    }

    #[test]
    fn what_no_walk_has_looked_at_is_neither_there_nor_missing() {
        let windows = [window(1, (10, 100), Some(1_000), Some(2_000), "A")];
        let why = |windows: &[Window], from, at| match answer(windows, &[], from, micros(at)) {
            Answer::No { why, .. } => Some(why),
            Answer::Yes { .. } => None,
        };
        assert_eq!(why(&windows, Some(2_500), 2_400), Some(Why::NotArchived));
        assert_eq!(why(&windows, Some(2_500), 2_500), Some(Why::NotVerified));
        assert_eq!(why(&windows, Some(900), 1_500), None, "one repository was walked, the other was not");
        assert_eq!(why(&[], Some(900), 899), Some(Why::BeforeTheFirst));
        assert_eq!(why(&[], Some(900), 900), Some(Why::NotVerified));
    }

    #[test]
    fn a_moment_between_two_timelines_is_on_the_newer_one() {
        let newer = Window { continues: true, ..window(2, (80, 200), None, Some(4_000), "A") };
        let windows = [window(1, (10, 100), Some(1_000), Some(2_000), "A"), newer];
        let backups = [
            backup("A", 1, 10, 1_000),
            backup("A2", 1, 50, 1_500),
            backup("A3", 1, 90, 1_600),
            backup("A4", 2, 150, 3_000),
        ];
        let at = |second: i64| answer(&windows, &backups, None, micros(second));
        assert_eq!(at(999), no(Why::BeforeTheFirst, None, Some(1_000)).with_after("A"));
        assert_eq!(at(1_200), yes("A", 2));
        assert_eq!(at(2_500), yes("A2", 2), "A3 lies behind the switch, on the timeline that was left");
        assert_eq!(at(3_500), yes("A4", 2));
    }

    impl Answer {
        fn with_after(self, label: &str) -> Self {
            match self {
                Self::No { why, before, after } => {
                    Self::No { why, before, after: after.map(|(at, _)| (at, label.to_owned())) }
                }
                yes @ Self::Yes { .. } => yes,
            }
        }
    }
}
