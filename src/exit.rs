//! The exit codes of every program, as one type.
//!
//! PostgreSQL reads them with `wait_result_is_any_signal(rc, true)` (`common/wait_error.c`, PostgreSQL 15): a command
//! that dies by a signal or ends above 125 is not a failure but an emergency. For `archive_command` the archiver
//! process itself then ends, is started again at the earliest 10 s later, and the failure is not counted in
//! `pg_stat_archiver` (pgarch.c). For `restore_command` it is the only way to say that a file: the repository could not be queried: up to
//! 125 means that the archive ends here. So nothing that the archiver sees may lie above 125, and a program must not die by a
//! signal or by a panic's abort. pgBackRest's own codes are 25 to 125 (src/build/error/error.yaml, 2.45 to 2.59).

use crate::verdict::Verdict;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done. For push: stored in every repository, or given up and recorded.
    Success,
    /// 1: the program could not do its work.
    Failed,
    /// 2: a wrong argument, or a name that is no WAL file name.
    Usage,
    /// 2: whether a moment can be restored is not known (`status --at`).
    NotKnown,
    /// 3: refused before anything was touched (`restore`).
    Refused,
    /// 1 to 125: pgBackRest's own code.
    PgBackRest(ArchiverCode),
    /// 63: pgBackRest, or the program itself, was ended by a signal (pgBackRest's `TermError`).
    Terminated,
    /// 82: our own time limit passed (pgBackRest's `ArchiveTimeoutError`).
    TimedOut,
    /// 143: told to end by SIGTERM, which PostgreSQL's startup process takes for its own shutdown request.
    Shutdown,
    /// 254: a recovery must not go on without the file; PostgreSQL stops (xlogarchive.c, `RestoreArchivedFile`).
    StopRecovery,
    /// 0, 1, 2 or 3: what a monitoring plugin says of ok, warning, critical and unknown (Monitoring Plugins Development
    /// Guidelines, "Plugin Return Codes").
    Nagios(Verdict),
    /// Any code: `run` ends as the program that it was asked to run.
    Command(u8),
    /// 125: anything else, pgBackRest not starting among it (pgBackRest's `UnknownError`).
    Unknown,
}

impl Exit {
    /// The code handed to the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success | Self::Nagios(Verdict::Ok) => 0,
            Self::Failed | Self::Nagios(Verdict::Warning) => 1,
            Self::Usage | Self::NotKnown | Self::Nagios(Verdict::Critical) => 2,
            Self::Refused | Self::Nagios(Verdict::Unknown) => 3,
            Self::PgBackRest(code) => code.0,
            Self::Terminated => 63,
            Self::TimedOut => 82,
            Self::Shutdown => 143,
            Self::StopRecovery => 254,
            Self::Command(code) => code,
            Self::Unknown => 125,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A failing exit code that the archiver may see: 1 to 125.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiverCode(u8);

impl ArchiverCode {
    /// The code a child process ended with; what PostgreSQL must not see, and 0, become 125.
    #[must_use]
    pub fn from_child(code: i32) -> Self {
        match u8::try_from(code) {
            Ok(code @ 1..=125) => Self(code),
            _ => Self(125),
        }
    }
}

/// Makes a panic end the process with the code that `exit` gives then, and one line, instead of by SIGABRT.
///
/// The release profile aborts on panic, and an abort is a death by signal to PostgreSQL.
#[expect(clippy::exit, reason = "a panic can't be carried to main: this is main's own hook")]
pub fn on_panic(program: &'static str, exit: fn() -> Exit) {
    std::panic::set_hook(Box::new(move |panic| {
        use std::io::Write as _;
        let line = format!("{program}: internal error, please report it: {panic}").replace('\n', " ");
        let _ = writeln!(std::io::stderr(), "{line}");
        std::process::exit(i32::from(exit().code()));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_codes_never_leave_what_the_archiver_counts_as_a_failure() {
        for code in -300..600 {
            let seen = Exit::PgBackRest(ArchiverCode::from_child(code)).code();
            assert!((1..=125).contains(&seen), "{code} became {seen}");
            if (1..=125).contains(&code) {
                assert_eq!(i32::from(seen), code);
            }
        }
    }

    #[test]
    fn codes_are_those_of_the_contract() {
        let table = [
            (Exit::Success, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NotKnown, 2),
            (Exit::Refused, 3),
            (Exit::PgBackRest(ArchiverCode::from_child(103)), 103),
            (Exit::Terminated, 63),
            (Exit::TimedOut, 82),
            (Exit::Shutdown, 143),
            (Exit::StopRecovery, 254),
            (Exit::Command(0), 0),
            (Exit::Command(137), 137),
            (Exit::Unknown, 125),
            (Exit::Nagios(Verdict::Ok), 0),
            (Exit::Nagios(Verdict::Warning), 1),
            (Exit::Nagios(Verdict::Critical), 2),
            (Exit::Nagios(Verdict::Unknown), 3),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code);
        }
    }
}
