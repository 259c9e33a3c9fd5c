//! What `check` concludes from what it saw of an installation: one finding a step, and what to do about it.
//!
//! A finding *fails* where WAL is not archived as it should be, or nobody can tell. It is a *note* where everything needed for
//! archiving is there and something beside it is missing. A step that an earlier one makes pointless is *skipped*, with the
//! reason, and never counts as passed.

use crate::wal::{SegmentName, WalFile};
use serde::Serialize;

/// How a step came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Archiving works without it; somebody may want it.
    Note,
    /// It could not be looked at, because of an earlier step.
    Skipped,
    /// Not as it should be.
    Failed,
}

impl Outcome {
    /// The word that a line begins with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What one step found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The step's name.
    pub step: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen, on one line.
    pub detail: String,
    /// What to do, on one line.
    pub to_do: Option<String>,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn ok(step: &'static str, detail: impl Into<String>) -> Self {
        Self { step, outcome: Outcome::Ok, detail: detail.into(), to_do: None }
    }

    /// Not as it should be.
    #[must_use]
    pub fn failed(step: &'static str, detail: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { step, outcome: Outcome::Failed, detail: detail.into(), to_do: Some(to_do.into()) }
    }

    /// Something that archiving does not need.
    #[must_use]
    pub fn note(step: &'static str, detail: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { step, outcome: Outcome::Note, detail: detail.into(), to_do: Some(to_do.into()) }
    }

    /// Not looked at.
    #[must_use]
    pub fn skipped(step: &'static str, why: impl Into<String>) -> Self {
        Self { step, outcome: Outcome::Skipped, detail: why.into(), to_do: None }
    }

    /// Whether it failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// The server's settings of archiving and recovery, as they are in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `archive_mode`.
    pub mode: String,
    /// `archive_command`.
    pub command: String,
    /// `archive_library`, which takes the command's place (PostgreSQL 15 and later).
    pub library: String,
    /// `restore_command`.
    pub restore_command: String,
}

/// The program that archives, and the one that restores.
pub const PUSH: &str = "pgbackrest-guard-push";
/// See [`PUSH`].
pub const GET: &str = "pgbackrest-guard-get";

/// Whether the server archives, and by us.
#[must_use]
pub fn archiving(settings: &ServerSettings) -> Finding {
    const STEP: &str = "archive_command";
    let set = format!("ALTER SYSTEM SET archive_command = '{PUSH} %p', then SELECT pg_reload_conf()");
    if settings.mode == "off" {
        return Finding::failed(
            STEP,
            "archive_mode is off: no WAL is archived",
            "ALTER SYSTEM SET archive_mode = on, then restart PostgreSQL",
        );
    }
    if !settings.library.is_empty() {
        let detail = format!("archive_library is '{}', which replaces archive_command", settings.library);
        return Finding::failed(STEP, detail, format!("ALTER SYSTEM SET archive_library = '', then {set}"));
    }
    if settings.command.contains(PUSH) {
        return Finding::ok(STEP, settings.command.clone());
    }
    let detail = if settings.command.is_empty() {
        "is empty: WAL piles up until it is set".to_owned()
    } else {
        format!("is '{}', not {PUSH}", settings.command)
    };
    Finding::failed(STEP, detail, set)
}

/// Whether a recovery of this server would ask us.
#[must_use]
pub fn restoring(settings: &ServerSettings) -> Finding {
    const STEP: &str = "restore_command";
    if settings.restore_command.contains(GET) {
        return Finding::ok(STEP, settings.restore_command.clone());
    }
    let to_do = format!("ALTER SYSTEM SET restore_command = '{GET} %f \"%p\"', then SELECT pg_reload_conf()");
    let detail = if settings.restore_command.is_empty() {
        "is empty: as a standby, this server could only stream".to_owned()
    } else {
        format!("is '{}': an outage may look like the end of the archive", settings.restore_command)
    };
    Finding::note(STEP, detail, to_do)
}

/// What is known of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// One runs.
    Runs,
    /// One has run here.
    HasRun,
    /// None has ever run here.
    Never,
}

/// Whether a watcher runs. `unit`: what starts one here, where that is known.
#[must_use]
pub fn watcher(seen: Watcher, unit: Option<&str>) -> Finding {
    const STEP: &str = "watcher";
    let detail = match seen {
        Watcher::Runs => return Finding::ok(STEP, "runs"),
        Watcher::HasRun => "is not running, though it has run here: no backups are taken, no gaps are closed",
        Watcher::Never => "has never run here: no backups are taken, no gaps are closed",
    };
    let to_do = unit.map_or_else(
        || "run pgbackrest-guard watch under your service manager".to_owned(),
        |unit| format!("sudo systemctl enable --now {unit}"),
    );
    Finding::note(STEP, detail, to_do)
}

/// Whether the programs of a set are of one version. `versions`: what each says of itself; `None` where it can't be started.
#[must_use]
pub fn programs(own: &str, versions: &[(&str, Option<String>)]) -> Finding {
    const STEP: &str = "programs";
    const TO_DO: &str = "install all programs of one version into one folder on PostgreSQL's PATH";
    let missing: Vec<&str> = versions.iter().filter(|(_, version)| version.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Finding::failed(STEP, format!("{} can't be started", missing.join(" and ")), TO_DO);
    }
    let others = versions.iter().filter_map(|(name, version)| Some((name, version.as_deref()?)));
    let others: Vec<String> =
        others.filter(|(_, version)| *version != own).map(|(name, version)| format!("{name} is {version}")).collect();
    if others.is_empty() {
        Finding::ok(STEP, format!("version {own}"))
    } else {
        Finding::failed(STEP, format!("pgbackrest-guard is {own}, {}", others.join(", ")), TO_DO)
    }
}

/// The line that ends a check.
#[must_use]
pub fn summary(findings: &[Finding], switched: bool) -> String {
    let failed = findings.iter().filter(|finding| finding.has_failed()).count();
    let skipped = findings.iter().filter(|finding| finding.outcome == Outcome::Skipped).count();
    let steps = |count: usize| if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
    let first = match (failed, skipped) {
        (0, 0) => format!("All {} passed.", steps(findings.len())),
        (0, skipped) => format!("Nothing failed; {} skipped.", steps(skipped)),
        (failed, 0) => format!("{} failed.", steps(failed)),
        (failed, skipped) => format!("{} failed, {skipped} skipped.", steps(failed)),
    };
    let changed =
        if switched { "One WAL segment was switched; nothing else was changed." } else { "Nothing was changed." };
    format!("{first} {changed}")
}

/// Whether `pg_stat_archiver`'s newest file shows that a segment was archived before. Files of one timeline are archived in their
/// order; a history, whose name sorts behind every segment before it, shows nothing (pgarch.c, `pgarch_readyXlog`).
#[must_use]
pub fn shows(newest: &str, segment: SegmentName) -> bool {
    match newest.parse() {
        Ok(WalFile::Segment(newest)) => newest.timeline() == segment.timeline() && newest >= segment,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: &str, command: &str, library: &str) -> ServerSettings {
        let [mode, command, library] = [mode, command, library].map(str::to_owned);
        ServerSettings { mode, command, library, restore_command: String::new() }
    }

    #[test]
    fn archiving_is_ours_only_where_our_program_is_in_effect() {
        let table = [
            (settings("on", "pgbackrest-guard-push %p", ""), Outcome::Ok, ""),
            (settings("always", "A=1 /usr/bin/pgbackrest-guard-push %p", ""), Outcome::Ok, ""),
            (settings("off", "pgbackrest-guard-push %p", ""), Outcome::Failed, "archive_mode is off"),
            (settings("on", "pgbackrest archive-push %p", ""), Outcome::Failed, "not pgbackrest-guard-push"),
            (settings("on", "", ""), Outcome::Failed, "is empty"),
            (settings("on", "pgbackrest-guard-push %p", "basic_archive"), Outcome::Failed, "replaces archive_command"),
        ];
        for (settings, outcome, words) in table {
            let finding = archiving(&settings);
            assert_eq!(finding.outcome, outcome, "{settings:?}");
            assert!(finding.detail.contains(words), "{finding:?}");
            assert_eq!(finding.to_do.is_some(), outcome == Outcome::Failed);
        }
    }

    #[test]
    fn another_restore_command_is_a_note_and_no_failure() {
        let with = |command: &str| ServerSettings { restore_command: command.to_owned(), ..settings("on", "", "") };
        assert_eq!(restoring(&with("pgbackrest-guard-get %f %p")).outcome, Outcome::Ok);
        assert_eq!(restoring(&with("")).outcome, Outcome::Note);
        let other = restoring(&with("pgbackrest archive-get %f %p"));
        assert_eq!((other.outcome, other.detail.contains("end of the archive")), (Outcome::Note, true));
    }

    #[test]
    fn a_watcher_that_does_not_run_is_a_note_with_the_unit_that_starts_it() {
        assert_eq!(watcher(Watcher::Runs, None), Finding::ok("watcher", "runs"));
        let never = watcher(Watcher::Never, Some("pgbackrest-guard@15-main"));
        assert_eq!(never.outcome, Outcome::Note);
        assert_eq!(never.to_do.as_deref(), Some("sudo systemctl enable --now pgbackrest-guard@15-main"));
        let stopped = watcher(Watcher::HasRun, None);
        assert!(stopped.detail.contains("has run here") && stopped.to_do.unwrap().contains("watch"));
    }

    #[test]
    fn only_a_segment_of_the_same_timeline_shows_that_one_was_archived() {
        let segment: SegmentName = "0000000100000000000000FE".parse().unwrap();
        for (newest, expected) in [
            ("0000000100000000000000FE", true),
            ("000000010000000100000000", true),
            ("0000000100000000000000FD", false),
            ("000000020000000100000000", false),
            ("00000002.history", false),
            ("000000010000000100000000.00000028.backup", false),
            ("000000010000000100000000.partial", false),
            ("", false),
        ] {
            assert_eq!(shows(newest, segment), expected, "{newest}");
        }
    }

    #[test]
    fn programs_are_of_one_version() {
        let versions = |push: Option<&str>, get: Option<&str>| {
            programs("1.0", &[(PUSH, push.map(str::to_owned)), (GET, get.map(str::to_owned))])
        };
        assert_eq!(versions(Some("1.0"), Some("1.0")).outcome, Outcome::Ok);
        let old = versions(Some("0.9"), Some("1.0"));
        assert!(old.has_failed() && old.detail.contains("pgbackrest-guard-push is 0.9"), "{old:?}");
        let none = versions(None, None);
        assert!(none.has_failed() && none.detail.contains("push and pgbackrest-guard-get can't"), "{none:?}");
    }

    #[test]
    fn the_summary_says_what_was_changed() {
        let ok = Finding::ok("a", "b");
        let skipped = Finding::skipped("a", "b");
        let failed = Finding::failed("a", "b", "c");
        assert_eq!(
            summary(&[ok.clone(), ok.clone()], true),
            "All 2 steps passed. One WAL segment was switched; nothing else was changed."
        );
        assert_eq!(
            summary(&[ok.clone(), skipped.clone()], false),
            "Nothing failed; 1 step skipped. Nothing was changed."
        );
        assert_eq!(summary(&[ok, skipped, failed], false), "1 step failed, 1 skipped. Nothing was changed.");
    }
}
