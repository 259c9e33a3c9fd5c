//! One suite, two subjects: the same trouble met by bare pgBackRest and by the guard, on the same servers.
//!
//! Each case first lets pgBackRest itself be `archive_command` or `restore_command` and writes down what it does, then puts the
//! guard in its place. What is known of pgBackRest is a [`Known`]: the versions on which it was seen. Where a version no longer
//! does it, the case fails and says so; then the table here and the one in docs/comparison.md are to be changed, and perhaps the
//! guard needs a thing less. A version that is not in [`TRIED`] is held to what the newest one does.

mod get;
mod push;
mod restore;

use super::scene::Live;
use pgbackrest_guard_lab::{Lab, Output};
use std::path::Path;
use std::process::Command;

/// The versions that every case was run on, the newest last.
const TRIED: [&str; 3] = ["2.45", "2.55", "2.60"];

/// What bare pgBackRest does, and on which versions it was seen.
pub(super) struct Known {
    what: &'static str,
    seen_on: &'static [&'static str],
}

/// Everything that is known, as docs/comparison.md says it.
const KNOWN: [&Known; 10] = [
    &push::WAITS_FOR_EVER,
    &push::DROPS_WITHOUT_RECORD,
    &push::HOLDS_UP_WHAT_FOLLOWS,
    &push::ONE_OF_TWO_SYNC,
    &push::ONE_OF_TWO_ASYNC,
    &push::REPEATS_AN_OLD_ERROR,
    &push::MEASURES_BY_THE_FIRST,
    &push::REFUSES_A_COPY,
    &get::ENDS_THE_RECOVERY,
    &get::HIDES_A_REPOSITORY,
];

/// The version at hand, such as `2.45`.
fn version() -> String {
    let output = Command::new("pgbackrest").arg("version").output().expect("pgbackrest is not installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.trim().trim_start_matches("pgBackRest ");
    number.split('.').take(2).collect::<Vec<_>>().join(".")
}

impl Known {
    /// That it is so, or is not, on the version at hand, as was `seen` just now.
    #[track_caller]
    fn is(&self, seen: bool, evidence: &str) {
        let (version, what) = (version(), self.what);
        let like = if TRIED.contains(&version.as_str()) { version.as_str() } else { TRIED[TRIED.len() - 1] };
        let expected = self.seen_on.contains(&like);
        let table = "update the table in tests/it/live/subjects and docs/comparison.md";
        assert!(seen || !expected, "pgBackRest {version} no longer does this: {what}; {table}\n{evidence}");
        assert!(
            !seen || expected,
            "pgBackRest {version} does this, which was not seen on it: {what}; {table}\n{evidence}"
        );
    }
}

/// Makes bare pgBackRest the `archive_command`, with these variables before it.
fn bare(live: &Live, variables: &str) {
    live.postgres.reload_with("archive_command", &format!("{variables} {}", live.backrest.archive_command()));
}

/// What a call printed and how it ended.
fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, output.stdout, output.stderr)
}

/// Runs a program of the guard in a data directory.
fn guard(lab: &Lab, program: &Path, pgdata: &Path, arguments: &[&str]) -> Output {
    let output = lab.command(program).current_dir(pgdata).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn the_comparison_says_what_is_known() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/comparison.md")).unwrap();
    for known in KNOWN.into_iter().chain([&restore::EMPTIES_THE_ORIGINS_SPOOL]) {
        let row = page.lines().find(|line| line.contains(known.what));
        let row = row.unwrap_or_else(|| panic!("docs/comparison.md does not say: {}", known.what));
        assert!(row.ends_with(&format!("| {} |", known.seen_on.join(", "))), "{row}");
    }
    let tried = format!("pgBackRest {}", TRIED.join(", "));
    assert!(page.contains(&tried), "docs/comparison.md does not say {tried}");
}
