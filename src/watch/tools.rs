//! What every part may use for as long as the watcher lives: what was asked for, the signal to end, and the log.

use super::Request;
use crate::log::Fields;
use crate::signals::Signals;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// What every part may use.
pub(super) struct Tools {
    pub(super) request: Request,
    pub(super) shutdown: Shutdown,
    pub(super) log: ChangeLog,
}

/// Our own signals, and whether one has asked for the end.
pub(super) struct Shutdown {
    signals: Signals,
    requested: Cell<bool>,
}

impl Shutdown {
    pub(super) fn by(signals: Signals) -> Self {
        Self { signals, requested: Cell::new(false) }
    }

    /// Whether the watcher is to end.
    pub(super) fn is_requested(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for that, at most `longest`.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let requested = self.requested.get() || self.signals.wait(longest);
        self.requested.set(requested);
        requested
    }
}

/// A log that says what changes, not what is so on every poll: a line only when it is another than the last one on its
/// subject. systemd shows it too.
#[derive(Default)]
pub(super) struct ChangeLog(RefCell<BTreeMap<&'static str, String>>);

impl ChangeLog {
    /// Says a line.
    pub(super) fn info(&self, subject: &'static str, line: &str) {
        if self.is_new(subject, line) {
            tracing::info!("{line}");
        }
    }

    /// Says one about what is not as it should be.
    pub(super) fn warn(&self, subject: &'static str, line: &str) {
        self.warn_of(subject, &Fields::default(), line);
    }

    /// The same about a failure.
    pub(super) fn warn_of(&self, subject: &'static str, fields: &Fields, line: &str) {
        if self.is_new(subject, line) {
            fields.warn(line);
        }
    }

    /// A subject is as it should be again: its next line is said whatever it is.
    pub(super) fn forget(&self, subject: &'static str) {
        self.0.borrow_mut().remove(subject);
    }

    fn is_new(&self, subject: &'static str, line: &str) -> bool {
        let is_new = self.0.borrow().get(subject).is_none_or(|last| last != line);
        if is_new {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(line)]);
            self.0.borrow_mut().insert(subject, line.to_owned());
        }
        is_new
    }
}
