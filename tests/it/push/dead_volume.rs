//! Volumes that do not answer: who calls into one sleeps uninterruptibly, and SIGKILL does not end him (contract, section 4,
//! step 4). PostgreSQL's archiver is not held up by that.
//!
//! The volume is a frozen file system (fsfreeze(8)) on a loop device: it can be read, and every write waits in the kernel. That
//! needs root and `CAP_SYS_ADMIN`; without, the tests say so and end.

use super::standin::{Case, SEGMENT};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const REFUSED: &str = "ERROR: [049]: unable to connect to 'h:443': [111] Connection refused\n";
const NEXT: &str = "000000010000000000000006";
/// What a push may take beyond its time limit.
const BEYOND: Duration = Duration::from_secs(15);

/// A mounted volume that can be frozen; it answers again, and is unmounted, whatever happens. It lies in a folder of its own: a
/// case's would be cleared away, which hangs too, before the volume is.
struct Volume {
    path: PathBuf,
    _folder: TempDir,
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.thaw();
        // Lazily: processes that hung are still on their way out.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Volume {
    /// Mounts one; `None`, and a line, without the right to.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (path, image) = (folder.path().join("volume"), folder.path().join("image"));
        fs::create_dir(&path).unwrap();
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let (image, at) = (image.to_str().unwrap(), path.to_str().unwrap());
        if succeeds("mkfs.ext4", &["-q", image]) && succeeds("mount", &["-o", "loop", image, at]) {
            return Some(Self { path, _folder: folder });
        }
        eprintln!("skipped: no loop device can be mounted here (root and CAP_SYS_ADMIN are needed)");
        None
    }

    fn freeze(&self) {
        assert!(succeeds("fsfreeze", &["--freeze", self.path.to_str().unwrap()]));
    }

    fn thaw(&self) {
        succeeds("fsfreeze", &["--unfreeze", self.path.to_str().unwrap()]);
    }
}

fn failing(name: &str) -> Case {
    Case::new(name).says(REFUSED).exits(49).backlog(500)
}

#[test]
fn a_pgbackrest_that_sigkill_does_not_end_is_left_behind() {
    let case = Case::new("in the kernel").env("WAL_PUSH_TIMEOUT_SECONDS", "2");
    let Some(volume) = Volume::mount() else { return };
    let case = case.does(format!("exec dd if=/dev/zero of='{}/file' bs=1M count=1", volume.path.display()));
    volume.freeze();
    let kept = case.status(82).kept("unavailable");
    kept.check(kept.took < Duration::from_secs(2) + BEYOND, "the archiver to be back");
    let lost = kept.again().pushes(NEXT).backlog(500).status(0).stderr_has("recorded as lost");
    lost.check(lost.took < Duration::from_secs(2) + BEYOND, "the archiver to be back");
}

#[test]
fn an_overflow_folder_that_does_not_answer_takes_nothing_and_holds_nothing_up() {
    let case = failing("overflow");
    let Some(volume) = Volume::mount() else { return };
    let case = case.env("WAL_OVERFLOW_DIR", &volume.path);
    volume.freeze();
    let lost = case.status(0).lost("unavailable", "drop-threshold").stderr_has("does not answer");
    lost.check(lost.took < BEYOND, "the archiver to be back");
    let next = lost.again().pushes(NEXT).status(0).stderr_has("recorded as lost");
    let next = next.stderr_has("does not answer");
    next.check(next.took < Duration::from_secs(3), "no second process to be sent after the first");
    volume.thaw();
    let third = "000000010000000000000007";
    next.again().pushes(third).status(0).stderr_has("nothing is lost").holds(&volume.path, &[third, "lost+found"]);
}

/// Nothing can be recorded, so nothing is given up unless the disk is short.
#[test]
fn a_state_directory_that_does_not_answer_holds_nothing_up() {
    let case = failing("state");
    let Some(volume) = Volume::mount() else { return };
    let made = case.env("WAL_GUARD_STATE_DIR", &volume.path).env("WAL_DROP_THRESHOLD_MB", "600").status(49).again();
    volume.freeze();
    let kept = made.env("WAL_DROP_THRESHOLD_MB", "1").status(49).stderr_has("is not dropped").marker(false);
    kept.check(kept.took < BEYOND, "the archiver to be back");
    let short = kept.again().env("WAL_FREE_RESERVE_MB", "8796093022208").status(0).stderr_has("NOT be recorded");
    short.check(short.took < BEYOND, "the archiver to be back");
    let history = "00000002.history";
    let kept = short.again().env("WAL_FREE_RESERVE_MB", "0").pushes(history).status(49).stderr_has("is not dropped");
    kept.check(kept.took < BEYOND, "the archiver to be back");
    let stored = kept.again().works().status(0).stderr_lacks("not stored");
    volume.thaw();
    let lost = stored.again().argument(format!("pg_wal/{SEGMENT}")).says(REFUSED).exits(49).status(0);
    lost.stderr_has("recorded as lost").lines_with("does not answer", 0);
}

#[test]
fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let many = "ERROR: [049]: unable to connect\n".repeat(4_000);
    let case = Case::new("unread").says(many).exits(49).env("WAL_DROP_THRESHOLD_MB", "1m");
    let fifo = case.root().join("fifo");
    assert!(succeeds("mkfifo", &[fifo.to_str().unwrap()]));
    // Open for reading too, so that nobody waits for a reader.
    let outcome = case.redirected(&format!("2<>'{}'", fifo.display())).status(49);
    outcome.check(outcome.took < BEYOND, "the archiver to be back");
}
