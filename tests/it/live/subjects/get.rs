//! `restore_command`, bare and guarded: what PostgreSQL takes an exit code for. Below 126 it ends the recovery, and a server
//! without `standby.signal` is promoted; `live::get_outage` shows that with real recoveries, bare pgBackRest among them.

use super::super::scene::{KEY, Live, Mode, SECOND_BUCKET, SECOND_KEY};
use super::{Known, guard, said};
use pgbackrest_guard_lab::{Output, Policy, StopMode};
use std::path::PathBuf;

pub(super) const ENDS_THE_RECOVERY: Known = Known {
    what: "During a recovery the repository refuses, or its bucket is gone: an exit code below 126, which ends the recovery early",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const HIDES_A_REPOSITORY: Known = Known {
    what: "One of two repositories can't be read and the other lacks the segment: exit 1, as if no repository had it",
    seen_on: &["2.45", "2.55", "2.60"],
};

/// In no repository.
const ABSENT: &str = "0000000100000000000000F0";

/// A data directory in a one-shot recovery, its server stopped.
struct Recovery {
    live: Live,
    get: PathBuf,
    stored: String,
}

impl Recovery {
    fn new(repositories: u8) -> Self {
        let setup = Live::of(Mode::Sync);
        let live = if repositories == 2 { setup.second_repository() } else { setup }.start();
        let stored = live.write_acknowledged(1).remove(0);
        live.postgres.stop(StopMode::Fast);
        live.lab.write_file(live.postgres.pgdata().join("recovery.signal"), "");
        let get = live.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        Self { live, get, stored }
    }

    fn bare(&self, name: &str, options: &[&str]) -> Output {
        self.live.backrest.run(&[options, &["archive-get", name, "pg_wal/RECOVERYXLOG"]].concat())
    }

    fn guarded(&self, name: &str) -> Output {
        let config = format!("--pgbackrest-config={}", self.live.backrest.config_file().display());
        let arguments = [config.as_str(), "--stanza=main", "--retry=1", name, "pg_wal/RECOVERYXLOG"];
        guard(&self.live.lab, &self.get, self.live.postgres.pgdata(), &arguments)
    }

    /// The guard stops the server, which then can be started again.
    #[track_caller]
    fn assert_stops(&self, name: &str) {
        let answer = self.guarded(name);
        assert_eq!(answer.code(), Some(254), "{}", said(&answer));
    }
}

fn ends_a_recovery(answer: &Output) -> bool {
    answer.code().is_some_and(|code| (1..126).contains(&code))
}

#[test]
fn a_repository_that_refuses_and_a_bucket_that_is_gone() {
    let recovery = Recovery::new(1);
    recovery.live.s3.set_policy(KEY, Policy::Nothing);
    let refused = recovery.bare(&recovery.stored, &[]);
    recovery.assert_stops(&recovery.stored);
    recovery.live.s3.set_policy(KEY, Policy::ReadWrite);
    recovery.live.s3.delete_bucket(super::super::scene::BUCKET);
    let gone = recovery.bare(&recovery.stored, &[]);
    recovery.assert_stops(&recovery.stored);
    let ends = ends_a_recovery(&refused) && ends_a_recovery(&gone);
    ENDS_THE_RECOVERY.is(ends, &format!("{}\n{}", said(&refused), said(&gone)));
    // What is really absent, the guard calls so too.
    recovery.live.s3.restore_bucket(super::super::scene::BUCKET);
    assert_eq!(recovery.guarded(ABSENT).code(), Some(1));
    assert_eq!(recovery.guarded(&recovery.stored).code(), Some(0));
}

#[test]
fn one_repository_that_can_not_be_read_and_one_that_lacks_the_segment() {
    let recovery = Recovery::new(2);
    recovery.live.s3.set_policy(SECOND_KEY, Policy::Nothing);
    assert!(recovery.live.s3.objects(SECOND_BUCKET).iter().any(|key| key.contains(&recovery.stored)));
    let [sync, ahead] = [&[][..], &["--archive-async"]].map(|options| recovery.bare(ABSENT, options));
    let hides = sync.code() == Some(1) && ahead.code() == Some(1);
    HIDES_A_REPOSITORY.is(hides, &format!("{}\n{}", said(&sync), said(&ahead)));
    recovery.assert_stops(ABSENT);
}
