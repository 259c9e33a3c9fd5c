//! What must be true after a run: the program's lines, the ledger, the files, and how pgBackRest was called.

use super::standin::{Case, SECRETS, SEGMENT};
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard::ledger::state::State;
use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// What the program's own lines begin with.
pub(crate) const PREFIX: &str = "pgbackrest-guard-push: ";

/// A run that has ended.
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Fails the test unless `holds`, with everything that is known.
    pub(crate) fn check(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "case '{}': expected {what}\n{}, after {:?}\n--- stderr\n{}--- stdout\n{}--- ledger\n{:#?}",
            self.case.name,
            self.status,
            self.took,
            self.stderr,
            self.stdout,
            Ledger::peek(&self.case.data().join(".pgbackrest_guard"))
        );
    }

    /// The same case once more, with everything that the first run left behind.
    pub(crate) fn again(self) -> Case {
        self.case
    }

    pub(crate) fn stderr_has(self, text: &str) -> Self {
        self.check(self.stderr.contains(text), &format!("'{text}' on stderr"));
        self
    }

    pub(crate) fn stderr_lacks(self, text: &str) -> Self {
        self.check(!self.stderr.contains(text), &format!("no '{text}' on stderr"));
        self
    }

    /// How many lines hold `text`.
    pub(crate) fn lines_with(self, text: &str, count: usize) -> Self {
        let found = self.stderr.lines().filter(|line| line.contains(text)).count();
        self.check(found == count, &format!("{count} lines with '{text}', not {found}"));
        self
    }

    /// Everything on stderr.
    pub(crate) fn stderr_is(self, text: &str) -> Self {
        self.check(self.stderr == text, &format!("on stderr nothing but\n{text}"));
        self
    }

    /// All of stderr is the program's own, and every line says so.
    pub(crate) fn only_own_lines(self) -> Self {
        self.check(self.stderr.lines().all(|line| line.starts_with(PREFIX)), "only lines of the program's own");
        self
    }

    /// How often `archive-push` was called.
    pub(crate) fn calls(self, count: usize) -> Self {
        self.called("archive-push", count)
    }

    /// How often a command was called.
    pub(crate) fn called(self, command: &str, count: usize) -> Self {
        let found = self.answer(command, "calls").lines().count();
        self.check(found == count, &format!("{count} calls of {command}, not {found}"));
        self
    }

    /// What the stand-in noted of its last call: `calls`, `environment` or `directory`.
    pub(crate) fn answer(&self, command: &str, what: &str) -> String {
        let path = self.case.root().join(format!("answer/{command}.{what}"));
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The ledger in the usual place.
    pub(crate) fn state(&self) -> State {
        let state = Ledger::peek(&self.case.data().join(".pgbackrest_guard"));
        self.check(matches!(state, Ok(Some(_))), "a ledger that can be read");
        state.unwrap().unwrap()
    }

    /// Something about the ledger.
    pub(crate) fn ledger(self, what: &str, holds: impl FnOnce(&State) -> bool) -> Self {
        let state = self.state();
        self.check(holds(&state), &format!("in the ledger: {what}"));
        self
    }

    /// Whether there is a gap marker.
    pub(crate) fn marker(self, expected: bool) -> Self {
        let there = self.case.data().join(".pgbackrest_gap_pending").exists();
        self.check(there == expected, &format!("a gap marker: {expected}"));
        self
    }

    /// The pushed segment is recorded as lost, once and durably.
    pub(crate) fn lost(self, class: &str, cause: &str) -> Self {
        self.lost_file(SEGMENT, class, cause)
    }

    /// A segment is recorded as lost.
    pub(crate) fn lost_file(self, name: &str, class: &str, cause: &str) -> Self {
        let holds = |state: &State| {
            let mut open = state.gaps.iter().filter(|gap| gap.state == GapState::Open);
            open.any(|gap| gap.first.to_string() == name && gap.class.as_str() == class && gap.cause.as_str() == cause)
                && state.push.dropped_count == 1
        };
        self.ledger(&format!("{name} lost, {class}, {cause}"), holds)
            .marker(true)
            .stderr_has(&format!("{PREFIX}dropping {name}"))
            .stderr_has(&format!("class {class}"))
            .stderr_has(&format!("cause {cause}"))
            .without_secrets()
    }

    /// PostgreSQL keeps the file: a failure of this class is counted, and nothing is given up.
    pub(crate) fn kept(self, class: &str) -> Self {
        let holds = |state: &State| {
            let last = state.push.last_failure.as_ref();
            last.is_some_and(|failure| failure.class.as_str() == class)
                && state.push.dropped_count + state.push.overflowed_count == 0
                && state.gaps.iter().next().is_none()
        };
        let told = format!("class {class}");
        self.ledger(&format!("a failure of class {class} and no loss"), holds).marker(false).stderr_has(&told).unhurt()
    }

    /// Nothing was deferred and no secret leaked.
    fn unhurt(self) -> Self {
        self.deferred(&[]).without_secrets()
    }

    /// A success: nothing failed, nothing lost.
    pub(crate) fn stored(self) -> Self {
        self.ledger("no failure", |state| state.push.failed_count == 0 && state.gaps.iter().next().is_none())
            .marker(false)
            .unhurt()
    }

    /// The deferred files.
    pub(crate) fn deferred(self, names: &[&str]) -> Self {
        let found = self.case.data().join(".pgbackrest_guard/deferred");
        self.holds(&found, names)
    }

    /// The files in a folder.
    pub(crate) fn holds(self, folder: &Path, names: &[&str]) -> Self {
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        self.check(found == names, &format!("{names:?} in {}, not {found:?}", folder.display()));
        self
    }

    /// No secret on stderr, in the state directory or in the marker.
    pub(crate) fn without_secrets(self) -> Self {
        let data = self.case.data();
        let mut texts = vec![self.stderr.clone().into_bytes(), self.stdout.clone().into_bytes()];
        texts.extend(fs::read(data.join(".pgbackrest_gap_pending")));
        texts.extend(fs::read(data.join(".pgbackrest_guard/ledger")));
        for secret in SECRETS.iter().chain(&["AKIAIOSFODNN7EXAMPLE"]) {
            let leaks = texts.iter().any(|text| String::from_utf8_lossy(text).contains(secret));
            self.check(!leaks, &format!("nothing to leak {secret}"));
        }
        self
    }
}
