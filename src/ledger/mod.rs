//! The ledger: the durable record of losses and counters.
//!
//! One preallocated file in the state directory ([`slots`]), one whole [`State`] a record. Writers hold an exclusive
//! lock on a file beside it (never removed) for the length of one update; readers take none, because a writer never
//! touches the newest record. A change is durable before [`Ledger::update`] returns, and only then may anybody act on
//! it. State belongs to a system identifier ([`state::Identity`]), and to nothing else: for another one a new ledger is begun
//! and the old one set aside under a name that says when; when its cluster is back, so is its ledger.

mod aside;
mod deferred;
mod exchange;
pub mod gaps;
pub mod kept_files;
pub mod moment;
pub mod slots;
pub mod state;
mod unload;

use crate::checkpoint;
use crate::durable;
use serde::{Deserialize, Serialize};
use slots::{Record, Slots};
use state::{Identity, Place, State};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file's name in the state directory.
pub const FILE_NAME: &str = "ledger";
/// The lock's name in the state directory.
const LOCK_NAME: &str = "ledger.lock";
/// The folder of deferred `.history` and `.backup` files in the state directory.
pub const DEFERRED: &str = "deferred";
/// How long a writer waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Why the ledger can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The state directory can't be made.
    #[error("can't make the state directory {path}")]
    Folder {
        /// The state directory.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The file can't be made, read or written.
    #[error("can't {doing} the ledger {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file that could not be used.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Another program holds the lock.
    #[error("the ledger {path} has been locked by another program for {} s", LOCK_WAIT.as_secs())]
    Locked {
        /// The file that could not be used.
        path: PathBuf,
    },
    /// Its cluster gave way to another one since it was opened.
    #[error("the ledger {path} has become another cluster's meanwhile")]
    Foreign {
        /// The file that could not be used.
        path: PathBuf,
    },
    /// What another process had to say, which works on it for us.
    #[error("{text}")]
    Far {
        /// Its words.
        text: String,
    },
    /// No record can be read.
    #[error("the ledger {path} holds no record that can be read")]
    Unreadable {
        /// The file that could not be used.
        path: PathBuf,
    },
}

/// What happened to the ledger when it was opened, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Part of it was damaged; the newest whole record is used and the rest rewritten.
    Repaired {
        /// The file that could not be used.
        path: PathBuf,
    },
    /// Nothing of it could be read; it was set aside.
    Unreadable {
        /// Where it lies now.
        aside: PathBuf,
    },
    /// It belonged to another cluster; it was set aside.
    Foreign {
        /// Where it lies now.
        aside: PathBuf,
    },
    /// It had been set aside for another cluster's, and is in use again.
    TakenBack {
        /// The folder in which it had been set aside.
        aside: PathBuf,
    },
    /// It lay aside and was one too many.
    Removed {
        /// The folder in which it had been set aside.
        aside: PathBuf,
        /// The cluster's system identifier, where it could be read.
        system_id: Option<u64>,
        /// Its open gaps.
        open: usize,
        /// Its deferred files, which stay where they are.
        deferred: usize,
    },
}

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    identity: Identity,
    place: Place,
}

impl Ledger {
    /// Opens the ledger in `folder` for `identity`; makes it, at `place`, where it is missing, repairs it where it is
    /// damaged, and sets it aside where it is another cluster's.
    ///
    /// # Errors
    /// When it can't be made or read.
    pub fn open(
        folder: &Path,
        identity: Identity,
        place: Place,
        now: i64,
    ) -> Result<(Self, State, Vec<Event>), LedgerError> {
        let ledger = Self { folder: folder.to_owned(), identity, place };
        // The usual case takes no lock: it is there, whole and ours.
        if let Ok((state, false)) = ledger.read_newest()
            && state.identity == state.identity.completed_by(ledger.identity)
            && !state.identity.is_another(ledger.identity)
        {
            return Ok((ledger, state, Vec::new()));
        }
        durable::create_private_folder(folder)
            .map_err(|source| LedgerError::Folder { path: folder.to_owned(), source })?;
        let _lock = ledger.lock()?;
        let mut events = Vec::new();
        let state = ledger.settle(now, &mut events)?;
        Ok((ledger, state, events))
    }

    fn unopened(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), identity: Identity::default(), place: Place::default() }
    }

    /// Reads the newest whole state without a lock and without changing anything; `None` where there is no ledger.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn peek(folder: &Path) -> Result<Option<State>, LedgerError> {
        let ledger = Self::unopened(folder);
        match ledger.read_newest() {
            Ok((state, _)) => Ok(Some(state)),
            Err(LedgerError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a ledger that is there, for a person's word on it. Nothing is made, repaired or set aside, and the files stay
    /// their owner's, whoever calls.
    ///
    /// # Errors
    /// When it is not there, or can't be read or written.
    pub fn existing(folder: &Path) -> Result<Self, LedgerError> {
        let ledger = Self::unopened(folder);
        ledger.slots(true)?;
        ledger.read_newest()?;
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(LOCK_NAME));
        let given = match lock {
            Ok(lock) => ledger.path().metadata().and_then(|file| fchown(&lock, Some(file.uid()), Some(file.gid()))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        };
        given.map_err(ledger.failed("lock"))?;
        Ok(ledger)
    }

    /// Changes the newest state by `change` and makes the result durable. Returns it.
    ///
    /// # Errors
    /// When it can't be made durable; then nothing has changed.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> Result<State, LedgerError> {
        let _lock = self.lock()?;
        checkpoint::reached("ledger-locked");
        self.written(change)
    }

    /// The same under a lock that is held.
    fn written(&self, change: impl FnOnce(&mut State)) -> Result<State, LedgerError> {
        let slots = self.slots(true)?;
        let contents = slots.read().map_err(self.failed("read"))?;
        let newest = contents.records.first().ok_or_else(|| self.unreadable())?;
        let mut state = self.own(self.state(newest)?)?;
        change(&mut state);
        slots.append(newest.sequence, &payload(&state)).map_err(self.failed("write"))?;
        checkpoint::reached("ledger-slot-written");
        slots.sync().map_err(self.failed("write"))?;
        checkpoint::reached("ledger-slot-synced");
        Ok(state)
    }

    /// Does something under the lock, unless a gap is open; `None` when one is.
    ///
    /// # Errors
    /// When the ledger can't be locked or read.
    pub fn unless_open<T>(&self, act: impl FnOnce() -> T) -> Result<Option<T>, LedgerError> {
        let _lock = self.lock()?;
        let (state, _) = self.read_own()?;
        Ok(if state.gaps.any_open() { None } else { Some(act()) })
    }

    /// Does something under the lock, which all programs of a cluster share.
    ///
    /// # Errors
    /// When the ledger can't be locked.
    pub fn exclusively<T>(&self, act: impl FnOnce() -> T) -> Result<T, LedgerError> {
        let _lock = self.lock()?;
        Ok(act())
    }

    /// The ledger's state directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings the file into a state that can be relied on. Runs under the lock.
    fn settle(&self, now: i64, events: &mut Vec<Event>) -> Result<State, LedgerError> {
        let mut slots = match self.slots(true) {
            Ok(slots) => slots,
            Err(LedgerError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return self.resume(events);
            }
            Err(error) => return Err(error),
        };
        let contents = slots.read().map_err(self.failed("read"))?;
        let whole = contents.records.iter().find_map(|record| Some((record, self.state(record).ok()?)));
        let Some((record, mut state)) = whole else {
            let aside = aside::set(&self.folder, now).map_err(self.failed("set aside"))?;
            events.push(Event::Unreadable { aside });
            return self.resume(events);
        };
        if contents.is_damaged() {
            slots.repair(&contents, record).map_err(self.failed("repair"))?;
            events.push(Event::Repaired { path: self.path() });
        }
        if state.identity.is_another(self.identity) {
            return self.exchange(now, events);
        }
        state.identity = state.identity.completed_by(self.identity);
        slots.append(record.sequence, &payload(&state)).map_err(self.failed("write"))?;
        slots.sync().map_err(self.failed("write"))?;
        Ok(state)
    }

    /// Makes a new file, allocated in full.
    fn begin(&self, foreign_deferred: BTreeSet<String>) -> Result<State, LedgerError> {
        // It claims nothing, so that nothing is to be looked up on this node; in which repositories is known to nobody yet.
        let made_at = Place { repositories: None, ..self.place.clone() };
        let state = State { identity: self.identity, checked: Some(made_at), foreign_deferred, ..State::default() };
        let temporary = self.folder.join("ledger.new");
        let made = Slots::create(&temporary, &payload(&state))
            .and_then(|_| fs::rename(&temporary, self.path()))
            .and_then(|()| durable::sync_folder(&self.folder));
        if made.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        made.map_err(self.failed("make"))?;
        checkpoint::reached("ledger-allocated");
        Ok(state)
    }

    /// The newest state, and whether anything in the file is damaged.
    fn read_newest(&self) -> Result<(State, bool), LedgerError> {
        let contents = self.slots(false)?.read().map_err(self.failed("read"))?;
        let newest = contents.records.iter().find_map(|record| self.state(record).ok());
        newest.map(|state| (state, contents.is_damaged())).ok_or_else(|| self.unreadable())
    }

    /// The same of a ledger that is still this cluster's.
    fn read_own(&self) -> Result<(State, bool), LedgerError> {
        let (state, damaged) = self.read_newest()?;
        Ok((self.own(state)?, damaged))
    }

    /// Refuses a state that is another cluster's: between opening and writing, that one's push may have exchanged the ledgers.
    fn own(&self, state: State) -> Result<State, LedgerError> {
        if state.identity.is_another(self.identity) {
            return Err(LedgerError::Foreign { path: self.path() });
        }
        Ok(state)
    }

    fn slots(&self, writable: bool) -> Result<Slots, LedgerError> {
        Slots::open(&self.path(), writable).map_err(self.failed("open"))
    }

    fn state(&self, record: &Record) -> Result<State, LedgerError> {
        serde_json::from_slice(&record.payload).map_err(|_| self.unreadable())
    }

    fn lock(&self) -> Result<File, LedgerError> {
        let path = self.folder.join(LOCK_NAME);
        // Not through a link: root may be here too, in a folder of the server's user.
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link).open(path);
        let file = file.map_err(self.failed("lock"))?;
        let started = Instant::now();
        loop {
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(self.failed("lock")(error)),
                Err(_) if started.elapsed() > LOCK_WAIT => return Err(LedgerError::Locked { path: self.path() }),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> LedgerError + use<'_> {
        move |source| LedgerError::File { doing, path: self.path(), source }
    }

    fn unreadable(&self) -> LedgerError {
        LedgerError::Unreadable { path: self.path() }
    }
}

/// A state as a slot's payload. Serialising these plain types can't fail.
fn payload(state: &State) -> Vec<u8> {
    serde_json::to_vec(state).unwrap_or_default()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod exchange_tests;
