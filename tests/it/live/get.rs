//! Recoveries of a real PostgreSQL from a real pgBackRest's repository in a bucket: what every `live::get_*` test uses.
//!
//! The origin commits one row in each of its segments, so that the rows of a recovered cluster tell how far it came.
//! An outage begins with the first request for a certain segment: the recovery meets it always, and at that place.

use pgbackrest_guard_lab::{Cluster, Fault, FaultId, FaultKind, Lab, Operations, PgBackRest, Request, S3Server};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The access key of every copy.
pub(crate) const KEY: &str = "AKIALAB";
/// What nothing here should ever take.
pub(crate) const LONG: Duration = Duration::from_mins(2);
/// The rows that the origin commits after its backup, each in a segment of its own.
pub(crate) const ROWS: usize = 10;

/// An archive with a backup and [`ROWS`] segments, and the server that wrote it.
pub(crate) struct Origin {
    pub(crate) lab: Lab,
    pub(crate) s3: S3Server,
    pub(crate) cluster: Cluster,
    /// The segment of each row.
    pub(crate) segments: Vec<String>,
    guard: PathBuf,
}

/// How a copy is restored.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'w> {
    /// The copy's name.
    pub(crate) name: &'w str,
    /// Whether pgBackRest fetches ahead.
    pub(crate) asynchronous: bool,
    /// The flags of guard-get; `None` for bare pgBackRest.
    pub(crate) guard: Option<&'w str>,
    /// What `restore` is told besides, such as `--type=time`.
    pub(crate) options: &'w [&'w str],
}

impl<'w> Wanted<'w> {
    /// A one-shot recovery to the end of the archive by guard-get with patience, synchronous.
    pub(crate) fn new(name: &'w str) -> Self {
        Self { name, asynchronous: false, guard: Some("--retry 120"), options: &[] }
    }
}

/// An outage that begins at a segment.
pub(crate) struct Outage {
    fault: FaultId,
    met: Arc<AtomicBool>,
}

impl Origin {
    /// Archives synchronously, backs up, commits the rows.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let s3 = S3Server::start(&lab);
        s3.create_bucket("wal");
        s3.add_key(KEY, "secret");
        let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
        let postgres = Cluster::builder(&lab);
        let store = PgBackRest::builder(&lab).postgres(&postgres).repo_s3(&s3, "wal", KEY, "secret", "/repo");
        let store = store.option("global", "repo1-bundle", "y").write();
        let postgres = postgres.setting("wal_keep_size", "64").setting("wal_log_hints", "on");
        let cluster = postgres.archive_command(&store.archive_command()).start();
        store.stanza_create();
        cluster.sql(
            "CREATE TABLE t (n int, at timestamptz DEFAULT clock_timestamp(), x xid8 DEFAULT pg_current_xact_id())",
        );
        store.backup("full");
        // A target's time must be a whole second after the backup's (restore.c, `restoreBackupSet`).
        cluster.sql("SELECT pg_sleep(1.1)");
        let mut origin = Self { lab, s3, cluster, segments: Vec::new(), guard };
        origin.commit_rows();
        origin
    }

    fn commit_rows(&mut self) {
        let row = |n| format!("INSERT INTO t VALUES ({n});\nSELECT pg_walfile_name(pg_switch_wal());\n");
        let names = self.cluster.sql(&(1..=ROWS).map(row).collect::<String>());
        self.segments = names.lines().map(str::to_owned).collect();
        assert_eq!(self.segments.len(), ROWS, "{names}");
        self.cluster.wait_archived(self.segments.last().unwrap(), LONG);
    }

    /// Restores a copy with a configuration and a spool of its own, not started.
    pub(crate) fn restore(&self, wanted: Wanted<'_>) -> Cluster {
        let copy = Cluster::builder(&self.lab).name(wanted.name);
        let builder = PgBackRest::builder(&self.lab).name(&format!("store-{}", wanted.name)).postgres(&copy);
        let builder = builder.repo_s3(&self.s3, "wal", KEY, "secret", "/repo").archive_async(wanted.asynchronous);
        let backrest = builder.option("global", "io-timeout", "1").option("global", "repo1-bundle", "y").write();
        self.restore_by(&backrest, copy, wanted)
    }

    /// The same with another configuration.
    pub(crate) fn restore_by(
        &self,
        backrest: &PgBackRest,
        copy: pgbackrest_guard_lab::ClusterBuilder,
        wanted: Wanted<'_>,
    ) -> Cluster {
        let command = wanted.guard.map_or_else(|| backrest.restore_command(), |flags| self.command(backrest, flags));
        let command = format!("--recovery-option=restore_command={command}");
        let mut options = vec![command.as_str()];
        options.extend(wanted.options);
        backrest.restore(copy.no_archiving(), &options)
    }

    /// guard-get as `restore_command`.
    pub(crate) fn command(&self, backrest: &PgBackRest, flags: &str) -> String {
        let config = backrest.config_file();
        format!("{} --pgbackrest-config {} {flags} %f \"%p\"", self.guard.display(), config.display())
    }

    /// From the first request for the segment on, every request is answered by this fault.
    pub(crate) fn outage_at(&self, segment: &str, fault: Fault) -> Outage {
        let met = Arc::new(AtomicBool::new(false));
        let (trip, segment) = (Arc::clone(&met), segment.to_owned());
        let concerns = move |request: &Request| {
            if request.key.contains(&segment) || request.query.contains(&segment) {
                trip.store(true, Ordering::SeqCst);
            }
            trip.load(Ordering::SeqCst)
        };
        let fault = self.s3.inject(fault.on(Operations::Matching(Arc::new(concerns))));
        Outage { fault, met }
    }

    /// The server is gone from that segment on: overloaded for a moment, then it refuses every connection.
    pub(crate) fn refused_at(&self, segment: &str, copy: &Cluster) -> Outage {
        let outage = self.outage_at(segment, Fault::status(503, "SlowDown"));
        copy.start_recovery();
        outage.wait_met(copy);
        self.s3.inject(Fault::new(FaultKind::Refuse));
        outage
    }

    /// The key may read nothing any more from that segment on.
    pub(crate) fn denied_at(&self, segment: &str, copy: &Cluster) -> Outage {
        let outage = self.outage_at(segment, Fault::status(403, "AccessDenied"));
        copy.start_recovery();
        outage.wait_met(copy);
        outage
    }
}

impl Outage {
    /// Waits until the recovery has met the outage.
    pub(crate) fn wait_met(&self, copy: &Cluster) {
        copy.wait_until("the outage is met", LONG, || self.met.load(Ordering::SeqCst));
    }

    /// Ends it.
    pub(crate) fn end(self, origin: &Origin) {
        origin.s3.remove(self.fault);
        origin.s3.clear_faults();
    }
}

/// The rows that a copy has.
pub(crate) fn rows(copy: &Cluster) -> usize {
    copy.sql("SELECT count(*) FROM t").parse().unwrap()
}

/// The copy takes writes by itself and has all rows.
pub(crate) fn assert_complete(copy: &Cluster) {
    assert!(copy.wait_promoted(LONG), "not promoted:\n{}", copy.log());
    assert_eq!(rows(copy), ROWS, "{}", copy.log());
}

/// The log holds this text, soon.
pub(crate) fn wait_log(copy: &Cluster, text: &str) {
    copy.wait_until(&format!("'{text}' in the log"), LONG, || copy.log().contains(text));
}

/// The server stops with FATAL, was never promoted, and says what to do.
pub(crate) fn assert_stopped(copy: &Cluster) {
    assert!(copy.wait_stopped(LONG), "still runs:\n{}", copy.log());
    let log = copy.log();
    assert!(log.contains("FATAL:  could not restore file"), "{log}");
    assert!(log.contains("exit 254 stops the server") && log.contains("start the server again"), "{log}");
    assert!(!log.contains("selected new timeline ID") && !log.contains("archive recovery complete"), "{log}");
}
