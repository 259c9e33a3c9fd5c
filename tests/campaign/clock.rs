//! A clock that is set while the programs run: theirs alone, by libfaketime.
//!
//! The wall clock goes forwards or back, and what only runs on does not. `PostgreSQL`, pgBackRest and the kernel, which stamps
//! the files, keep the machine's time; so the programs meet times from the future as well as old ones.

use super::world::World;
use jiff::Timestamp;
use pgbackrest_guard_lab::Lab;
use std::fs;
use std::path::PathBuf;

/// What keeps the machine's time.
const OTHERS: &str =
    "pgbackrest,postgres,psql,pg_dumpall,pg_dump,pg_amcheck,pg_checksums,pg_controldata,pg_ctl,pg_rewind";
/// How far it is set, in seconds: what NTP corrects, a time zone, a wrong date.
const STEPS: [i64; 6] = [-30, 45, -7_200, 7_200, -40 * 86_400, 40 * 86_400];

/// The clock of the programs of one campaign.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that goes right; `None`, and a line, where the library is missing.
    pub(crate) fn of(lab: &Lab) -> Option<Self> {
        let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
        let library = PathBuf::from(folder).join("libfaketimeMT.so.1");
        if !library.exists() {
            eprintln!("skipped: no clock is set, {} is not there (Debian's package faketime)", library.display());
            return None;
        }
        Some(Self { library, file: lab.write_file("clock", "+0\n") })
    }

    /// What a program needs to go by it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_SKIP_CMDS", OTHERS.to_owned()),
        ];
        // Each look reads the file; files keep their times, and waiting takes as long as it does.
        let on = ["FAKETIME_NO_CACHE", "NO_FAKE_STAT", "FAKETIME_DONT_FAKE_MONOTONIC"];
        variables.extend(on.map(|name| (name, "1".to_owned())));
        variables
    }

    /// Sets it, by so many seconds off the machine's.
    pub(crate) fn set(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("the clock");
        fs::rename(new, &self.file).expect("the clock");
    }
}

/// How far the fault of this number sets it.
pub(crate) fn step(number: u32) -> i64 {
    STEPS.into_iter().cycle().nth(number as usize % STEPS.len()).unwrap_or(0)
}

/// Whether the programs see it: the page of `status` says when it was made.
pub(crate) fn is_seen(world: &World, seconds: i64) -> bool {
    let mut status = world.guard();
    status.args(["status", "--output=html", "--pgdata"]).arg(world.cluster.pgdata());
    let page = status.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let now = Timestamp::now().as_second() + seconds;
    let at = |second| Timestamp::from_second(second).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    (now - 20..=now).filter_map(|second| at(second).ok()).any(|at| page.contains(&at))
}

/// Removes what the library has left of processes that were killed.
pub(crate) fn clear_shared_memory() {
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("sem.faketime_sem_").or_else(|| name.strip_prefix("faketime_shm_"));
        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
