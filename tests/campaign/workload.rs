//! A workload of numbered commits, with the time before and after each; and what each segment held when it was finished.
//!
//! The clock that stamps the commits is this machine's, so a row whose commit was answered before a moment must be in a
//! restore to it, and one that was begun after it must not. A row whose commit got no answer may be in it or not.

use postgres::{Client, NoTls};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, SystemTime};

/// Bytes of WAL beside each commit of a seed.
pub(crate) const PADDING: usize = 60_000;
/// Between two commits.
const PAUSE: Duration = Duration::from_millis(60);
/// Between two looks for finished segments.
const LOOK: Duration = Duration::from_millis(20);

/// A commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Its number.
    pub(crate) number: i64,
    /// When it was sent.
    pub(crate) begun: SystemTime,
    /// When it was answered; `None` where it was not.
    pub(crate) answered: Option<SystemTime>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The commits, in order.
    pub(crate) rows: Vec<Row>,
    /// The checksum of each segment that PostgreSQL had archived; `None`: it was recycled before it was read.
    pub(crate) segments: BTreeMap<String, Option<u32>>,
    /// When each was finished: what was answered before is in it, or in one before it.
    pub(crate) finished: BTreeMap<String, SystemTime>,
}

/// The node that takes the commits.
#[derive(Debug, Clone)]
pub(crate) struct Primary {
    /// How it is connected to.
    pub(crate) conninfo: String,
    /// Its WAL.
    pub(crate) pg_wal: PathBuf,
}

/// Commits and looks until it is dropped.
pub(crate) struct Workload {
    seen: Arc<Mutex<Seen>>,
    primary: Arc<Mutex<Primary>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Makes the table, and begins.
    pub(crate) fn start(primary: Primary, padding: usize) -> Self {
        let mut client = Client::connect(&primary.conninfo, NoTls).expect("a server that answers");
        client.batch_execute("CREATE TABLE rows (number bigint)").expect("a table");
        drop(client);
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let primary = Arc::new(Mutex::new(primary));
        let (for_rows, rows_of, stop_rows) = (Arc::clone(&seen), Arc::clone(&primary), Arc::clone(&stop));
        let (for_segments, segments_of, stop_segments) = (Arc::clone(&seen), Arc::clone(&primary), Arc::clone(&stop));
        let threads = vec![
            spawn(move || commit(&rows_of, padding, &for_rows, &stop_rows)),
            spawn(move || {
                while !stop_segments.load(Ordering::Relaxed) {
                    look(&locked(&segments_of).pg_wal.clone(), &for_segments);
                    sleep(LOOK);
                }
                look(&locked(&segments_of).pg_wal.clone(), &for_segments);
            }),
        ];
        Self { seen, primary, stop, threads }
    }

    /// Goes on on another node.
    pub(crate) fn follow(&self, primary: Primary) {
        *locked(&self.primary) = primary;
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        locked(&self.seen)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Seen {
        self.stop();
        std::mem::take(&mut *self.seen())
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the workload's thread");
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn commit(primary: &Mutex<Primary>, padding: usize, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut client: Option<Client> = None;
    let mut number = 0;
    let statement = format!("SELECT pg_logical_emit_message(false, 'campaign', repeat('x', {padding}))");
    while !stop.load(Ordering::Relaxed) {
        sleep(PAUSE);
        let Some(connected) = client.as_mut() else {
            let conninfo = locked(primary).conninfo.clone();
            client = Client::connect(&format!("{conninfo} connect_timeout=2"), NoTls).ok();
            continue;
        };
        number += 1;
        let begun = SystemTime::now();
        let done = connected.batch_execute(&format!("INSERT INTO rows VALUES ({number})"));
        let answered = done.is_ok().then(SystemTime::now);
        locked(seen).rows.push(Row { number, begun, answered });
        if done.is_err() || connected.batch_execute(&statement).is_err() {
            client = None;
        }
    }
}

/// Reads the segments that are finished and not read yet. A file that is renamed meanwhile has another name and is not it.
fn look(pg_wal: &Path, seen: &Mutex<Seen>) {
    let Ok(marks) = fs::read_dir(pg_wal.join("archive_status")) else { return };
    for entry in marks.flatten() {
        let Ok(mark) = entry.file_name().into_string() else { continue };
        let Some(name) = mark.strip_suffix(".ready").or_else(|| mark.strip_suffix(".done")) else { continue };
        let is_segment = name.len() == 24 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_segment || locked(seen).segments.get(name).is_some_and(Option::is_some) {
            continue;
        }
        // A mark keeps its time when it is renamed.
        if let Ok(at) = entry.metadata().and_then(|mark| mark.modified()) {
            locked(seen).finished.entry(name.to_owned()).or_insert(at);
        }
        let path = pg_wal.join(name);
        let inode = || fs::metadata(&path).map(|file| file.ino()).ok();
        let before = inode();
        let read = fs::read(&path).ok().filter(|_| before.is_some() && before == inode());
        let checksum = read.map(|bytes| crc32fast::hash(&bytes));
        let _ = locked(seen).segments.insert(name.to_owned(), checksum);
    }
}
