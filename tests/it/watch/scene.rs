//! The harness of the watcher's table: a real PostgreSQL, and a stand-in for pgBackRest that does as it is told.

use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::gaps::{Cause, GapState, Loss};
use pgbackrest_guard::ledger::state::{Identity, Place};
use pgbackrest_guard::wal::SegmentSize;
use pgbackrest_guard_lab::{Cluster, Lab, Signal};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Long enough for anything that should be quick, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The poll's and the checks' intervals of an impatient watcher.
const IMPATIENT: [(&str, &str); 4] = [
    ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"),
    ("WAL_BACKUP_INITIAL_POLL_SECONDS", "1"),
    ("WAL_BACKUP_GAP_RESOLVED_GRACE_SECONDS", "0"),
    ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "3600"),
];

/// A cluster and its stand-in.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) cluster: Cluster,
    guard: PathBuf,
    root: PathBuf,
}

/// A primary that archives nothing, and a stand-in that answers nothing.
pub(crate) fn scene() -> Scene {
    scene_in(Lab::new())
}

/// The same in a laboratory that is already furnished.
pub(crate) fn scene_in(lab: Lab) -> Scene {
    let cluster = Cluster::builder(&lab).no_archiving().start();
    let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let root = lab.folder("standin");
    for folder in ["standin/bin", "standin/answer", "standin/lock"] {
        lab.folder(folder);
    }
    let program = lab.copy_program(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/watch/standin.sh"));
    std::os::unix::fs::symlink(program, root.join("bin/pgbackrest")).unwrap();
    let text = format!("[global]\nrepo1-path={0}/repo\nlock-path={0}/lock\nspool-path={0}/spool\n", root.display());
    lab.write_file("standin/pgbackrest.conf", text);
    lab.write_file("standin/answer/calls", "");
    lab.give(&root.join("answer/calls"));
    Scene { lab, cluster, guard, root }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Scene {
    /// What the stand-in does for a command, in the shell's language.
    pub(crate) fn on(&self, command: &str, script: &str) -> &Self {
        let name = format!("standin/answer/.{command}.new");
        let new = self.lab.write_file(name, script);
        fs::rename(new, self.root.join(format!("answer/{command}.sh"))).unwrap();
        self
    }

    /// `info` answers with this status code, and a full backup if `full` is its `error` field.
    pub(crate) fn info(&self, code: u32, full: Option<&str>) -> &Self {
        self.info_of(self.cluster.system_identifier(), code, full)
    }

    /// The same for a cluster.
    pub(crate) fn info_of(&self, system_id: u64, code: u32, full: Option<&str>) -> &Self {
        let backup = full.map(|error| {
            format!(
                "{{\"label\":\"20260101-000000F\",\"type\":\"full\",\"database\":{{\"id\":1,\"repo-key\":1}},\"error\":{error},\
                 \"timestamp\":{{\"start\":1000,\"stop\":2000}},\"archive\":{{\"start\":null,\"stop\":null}}}}"
            )
        });
        let json = format!(
            "[{{\"name\":\"main\",\"archive\":[{{\"database\":{{\"id\":1,\"repo-key\":1}},\"id\":\"15-1\",\"max\":null}}],\"backup\":[{}],\"db\":[{{\"id\":1,\"repo-key\":1,\"system-id\":{system_id}}}],\
             \"repo\":[{{\"key\":1,\"status\":{{\"code\":{code},\"message\":\"the words of {code}\"}}}}]}}]",
            backup.unwrap_or_default()
        );
        self.on("info", &format!("echo '{json}'\n"))
    }

    /// `backup` does this, then says that it made a backup of `label` that starts at `lsn`.
    pub(crate) fn backup(&self, script: &str, label: &str, lsn: &str) -> &Self {
        let said = format!(
            "echo 'P00   INFO: backup start archive = 000000010000000000000001, lsn = {lsn}' >&2\n\
             echo 'P00   INFO: new backup label = {label}' >&2\n"
        );
        self.on("backup", &format!("{script}\n{said}"))
    }

    /// The state file's text.
    pub(crate) fn state(&self) -> String {
        fs::read_to_string(self.cluster.pgdata().join(".pgbackrest_backup_state")).unwrap_or_default()
    }

    /// Writes the state file.
    pub(crate) fn stamps(&self, text: &str) -> &Self {
        let path = self.cluster.pgdata().join(".pgbackrest_backup_state");
        fs::write(&path, text).unwrap();
        self.lab.give(&path);
        self
    }

    /// A full backup just made and verified is on record.
    pub(crate) fn all_is_well(&self) -> &Self {
        let now = now();
        self.stamps(&format!("last_full_at={now}\nlast_diff_at={now}\nlast_catalog_verify_at={now}\ntheirs=kept\n"))
    }

    /// The gap marker.
    pub(crate) fn marker(&self) -> PathBuf {
        self.cluster.pgdata().join(".pgbackrest_gap_pending")
    }

    /// Records a loss, as push does.
    pub(crate) fn lose(&self, segment: &str, at: i64) {
        let folder = self.cluster.pgdata().join(".pgbackrest_guard");
        let (ledger, _, _) = Ledger::open(&folder, Identity::default(), Place::default(), at).unwrap();
        let loss = Loss {
            segment: segment.parse().unwrap(),
            partial: false,
            class: pgbackrest_guard::pgbackrest::Class::Gone,
            cause: Cause::InstantDrop,
            s3_code: None,
            at,
        };
        ledger
            .update(|state| {
                // As the laboratory's clusters have them.
                state.segment_size = SegmentSize::try_from(1 << 20).ok();
                let size = state.segment_size();
                state.gaps.record(&loss, size);
            })
            .unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            self.lab.give(&entry.unwrap().path());
        }
        self.lab.give(&folder);
    }

    /// `backup` makes one that starts at `lsn`, and from then on `info` lists it; before, an old full that seals nothing.
    pub(crate) fn backups_are_listed(&self, lsn: &str) -> &Self {
        let made = self.root.join("answer/made").display().to_string();
        let backup = |at: &str, lsn: &str| {
            format!(
                "{{\"label\":\"20261123-010000F\",\"type\":\"full\",\"database\":{{\"id\":1,\"repo-key\":1}},\"error\":false,\
                 \"timestamp\":{{\"start\":{at},\"stop\":{at}}},\"lsn\":{{\"start\":\"{lsn}\",\"stop\":\"{lsn}\"}},\
                 \"archive\":{{\"start\":\"000000010000000000000001\",\"stop\":null}}}}"
            )
        };
        let json = |backup: &str| {
            let id = self.cluster.system_identifier();
            format!(
                "[{{\"name\":\"main\",\"archive\":[{{\"database\":{{\"id\":1,\"repo-key\":1}},\"id\":\"15-1\",\"max\":null}}],\
                 \"backup\":[{backup}],\"db\":[{{\"id\":1,\"repo-key\":1,\"system-id\":{id}}}],\
                 \"repo\":[{{\"key\":1,\"status\":{{\"code\":0,\"message\":\"ok\"}}}}]}}]"
            )
        };
        let (new, old) = (json(&backup(&format!("$(cat '{made}')"), lsn)), json(&backup("2000", "0/28")));
        self.on("info", &format!("if [ -s '{made}' ]; then cat <<END\n{new}\nEND\nelse echo '{old}'; fi\n"));
        self.backup(&format!("date +%s >'{made}'"), "20261123-010000F", lsn)
    }

    /// The gaps' states.
    pub(crate) fn gaps(&self) -> Vec<GapState> {
        let state = Ledger::peek(&self.cluster.pgdata().join(".pgbackrest_guard")).unwrap().unwrap();
        state.gaps.iter().map(|gap| gap.state).collect()
    }

    /// How often the stand-in was called with a word.
    pub(crate) fn calls(&self, word: &str) -> usize {
        let text = fs::read_to_string(self.root.join("answer/calls")).unwrap();
        text.lines().filter(|line| line.split(' ').any(|called| called == word)).count()
    }

    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = self.lab.command(&self.guard);
        command.args(["watch", "--pgdata"]).arg(self.cluster.pgdata());
        command.env("WAL_GUARD_PGBACKREST", self.root.join("bin/pgbackrest"));
        command.env("PGBACKREST_CONFIG", self.root.join("pgbackrest.conf"));
        command.env("PGUSER", self.user());
        command.envs(IMPATIENT).envs(variables.iter().copied());
        command
    }

    fn user(&self) -> String {
        self.cluster
            .try_sql("select current_user")
            .map_or_else(|_| "postgres".to_owned(), |user| user.trim().to_owned())
    }

    /// One poll, which must end with 0; what was said.
    #[track_caller]
    pub(crate) fn once(&self, variables: &[(&str, &str)]) -> String {
        let output = self.command(variables).arg("--once").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }

    /// One poll, however it ends.
    pub(crate) fn once_or_killed(&self, variables: &[(&str, &str)]) -> Output {
        self.command(variables).arg("--once").output().unwrap()
    }

    /// A watcher that goes on.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Running {
        Running::start(&self.lab, &mut self.command(variables))
    }
}

/// A watcher at work.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it, its log in the laboratory.
    pub(crate) fn start(lab: &Lab, command: &mut Command) -> Self {
        let log = lab.path().join("watch.log");
        let file = File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        let started = Instant::now();
        while !self.said().contains(words) {
            assert!(started.elapsed() < SOON, "it never says {words:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM; it must end with 0 within 5 s.
    #[track_caller]
    pub(crate) fn end(mut self) -> String {
        let started = Instant::now();
        Lab::signal(i32::try_from(self.child.id()).unwrap(), Signal::TERM);
        let status = self.child.wait().unwrap();
        let took = started.elapsed();
        assert!(status.code() == Some(0) && took < Duration::from_secs(5), "{status}, {took:?}:\n{}", self.said());
        self.said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
