//! What is done outside the data directory, by an [`Errand`]: its volume may be dead while PostgreSQL's is well.
//!
//! The other process opens the ledger, and for each change hands out the state and takes back what became of it, under the
//! ledger's lock. A second one copies into the overflow folder. What does not answer counts as what can't be written.

use super::copying::{self, Copy};
use crate::errand::{Errand, Patience};
use crate::ledger::state::{Identity, Place, State};
use crate::ledger::{Event, Ledger, LedgerError};
use crate::log;
use serde::{Deserialize, Serialize};
use serde_json::{from_str, to_string};
use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the state directory may take to answer; another writer of the ledger is waited for 5 s.
const ANSWER: Duration = Duration::from_secs(6);
/// How long a copy may move nothing.
const STILL: Duration = Duration::from_secs(3);

/// What an errand is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    /// The ledger: everything after it is about this one.
    Open { folder: PathBuf, identity: Identity, place: Place, now: i64 },
    /// A change: the state is handed out, and taken back.
    Update,
    /// Another cluster's deferred file is to make room.
    MakeRoom(String),
    /// What the ledger keeps of files is to be given away.
    Unload(Box<State>),
    /// A small file, copied into a folder that is made where it is missing.
    Keep { from: PathBuf, folder: PathBuf, name: String },
    /// The same, where nobody knows whose file of that name is there.
    KeepNew { from: PathBuf, folder: PathBuf, name: String },
    /// A segment, copied into the overflow folder.
    Overflow(Copy),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Opened(Box<State>, Vec<Event>),
    Current(Box<State>),
    Changed(Box<State>, Vec<String>),
    Done,
    Failed(String),
}

/// The ledger in a state directory of its own.
#[derive(Debug)]
pub(super) struct Far {
    folder: PathBuf,
    /// `None` once it has not answered.
    errand: RefCell<Option<Errand>>,
}

impl Far {
    /// Opens it.
    pub(super) fn open(
        folder: &Path,
        identity: Identity,
        place: Place,
        now: i64,
    ) -> Result<(Self, State, Vec<Event>), LedgerError> {
        let failed = |source| LedgerError::File { doing: "reach", path: folder.to_owned(), source };
        let errand = Errand::start(folder).map_err(failed)?;
        let far = Self { folder: folder.to_owned(), errand: RefCell::new(Some(errand)) };
        match far.ask(&Task::Open { folder: folder.to_owned(), identity, place, now })? {
            Answer::Opened(state, events) => Ok((far, *state, events)),
            _ => Err(far.failed(io::ErrorKind::InvalidData.into())),
        }
    }

    /// As [`Ledger::update`].
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) -> Result<State, LedgerError> {
        let Answer::Current(mut state) = self.ask(&Task::Update)? else {
            return Err(self.failed(io::ErrorKind::InvalidData.into()));
        };
        change(&mut state);
        self.changed(self.ask(&state)?)
    }

    /// As [`Ledger::make_room`].
    pub(super) fn make_room(&self, name: &str) -> Result<State, LedgerError> {
        self.changed(self.ask(&Task::MakeRoom(name.to_owned()))?)
    }

    /// As [`Ledger::unload`].
    pub(super) fn unload(&self, state: &State) -> Result<(State, Vec<String>), LedgerError> {
        match self.ask(&Task::Unload(Box::new(state.clone())))? {
            Answer::Changed(state, names) => Ok((*state, names)),
            _ => Err(self.failed(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Copies a small file into `folder`, which lies in the state directory.
    pub(super) fn keep(&self, from: &Path, folder: &Path, name: &str) -> Result<(), LedgerError> {
        let (from, folder, name) = (from.to_owned(), folder.to_owned(), name.to_owned());
        self.ask(&Task::Keep { from, folder, name }).map(drop)
    }

    fn changed(&self, answer: Answer) -> Result<State, LedgerError> {
        match answer {
            Answer::Changed(state, _) => Ok(*state),
            _ => Err(self.failed(io::ErrorKind::InvalidData.into())),
        }
    }

    fn ask(&self, what: &impl Serialize) -> Result<Answer, LedgerError> {
        let mut errand = self.errand.borrow_mut();
        let Some(at_work) = errand.as_mut() else {
            return Err(self.failed(io::Error::new(io::ErrorKind::TimedOut, "its volume does not answer")));
        };
        match ask(at_work, what, Patience { until: Instant::now() + ANSWER, still: None }) {
            Ok(Answer::Failed(text)) => Err(LedgerError::Far { text }),
            Ok(answer) => Ok(answer),
            Err(error) => {
                *errand = None;
                Err(self.failed(error))
            }
        }
    }

    fn failed(&self, source: io::Error) -> LedgerError {
        LedgerError::File { doing: "reach", path: self.folder.clone(), source }
    }
}

/// Copies a small file into `folder`, without a ledger.
pub(super) fn keep(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let mut errand = Errand::start(folder)?;
    let task = Task::KeepNew { from: from.to_owned(), folder: folder.to_owned(), name: name.to_owned() };
    done(ask(&mut errand, &task, Patience { until: Instant::now() + STILL, still: None })?)
}

/// Copies a segment into the overflow folder, until `until` at the longest.
pub(super) fn copy(copy: Copy, until: Instant) -> io::Result<()> {
    let mut errand = Errand::start(&copy.folder)?;
    done(ask(&mut errand, &Task::Overflow(copy), Patience { until, still: Some(STILL) })?)
}

fn done(answer: Answer) -> io::Result<()> {
    match answer {
        Answer::Done => Ok(()),
        Answer::Failed(text) => Err(io::Error::other(text)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn ask(errand: &mut Errand, what: &impl Serialize, patience: Patience) -> io::Result<Answer> {
    errand.tell(&to_string(what)?)?;
    Ok(from_str(&errand.hear(patience)?)?)
}

/// The errand's side: does what is asked, line by line, until the input ends.
///
/// # Errors
/// When the two pipes fail.
pub fn serve(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut ledger = None;
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let answer = from_str(&line).map_err(|error| error.to_string()).and_then(|task| match (task, &ledger) {
            (Task::Open { folder, identity, place, now }, _) => {
                let (opened, state, events) = Ledger::open(&folder, identity, place, now).map_err(told)?;
                ledger = Some(opened);
                Ok(Answer::Opened(Box::new(state), events))
            }
            (task, Some(ledger)) => with_ledger(ledger, task, input, output),
            (task, None) => without_ledger(task),
        });
        writeln!(output, "{}", to_string(&answer.unwrap_or_else(Answer::Failed))?)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn with_ledger(
    ledger: &Ledger,
    task: Task,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Answer, String> {
    let changed = |state, names| Answer::Changed(Box::new(state), names);
    match task {
        Task::Update => {
            let handed_out = ledger.update(|state| {
                // Who has gone meanwhile changes nothing.
                if let Ok(new) = handed_out(state, input, output) {
                    *state = new;
                }
            });
            Ok(changed(handed_out.map_err(told)?, Vec::new()))
        }
        Task::MakeRoom(name) => Ok(changed(ledger.make_room(&name).map_err(told)?, Vec::new())),
        Task::Unload(state) => {
            let (state, names) = ledger.unload(&state).map_err(told)?;
            Ok(changed(state, names))
        }
        other => without_ledger(other),
    }
}

fn without_ledger(task: Task) -> Result<Answer, String> {
    let done = match task {
        Task::Keep { from, folder, name } => copying::small(&from, &folder, &name),
        Task::KeepNew { from, folder, name } => copying::small_if_new(&from, &folder, &name),
        Task::Overflow(copy) => copying::segment(&copy),
        _ => Err(io::Error::other("no ledger was opened")),
    };
    done.map(|()| Answer::Done).map_err(|error| error.to_string())
}

fn handed_out(state: &State, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<State> {
    writeln!(output, "{}", to_string(&Answer::Current(Box::new(state.clone())))?)?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(from_str(&line)?)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: LedgerError) -> String {
    log::chain(&error)
}
