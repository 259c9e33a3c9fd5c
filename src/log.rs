//! The log: lines on stderr, as text or as JSON.
//!
//! In text each line begins with the program's name and a colon, so that it can be told from PostgreSQL's and
//! pgBackRest's in a shared log. A line that can't be written (stderr
//! closed) is lost: `eprintln!` would panic, and a panic would be a death by signal to PostgreSQL.

mod fields;

pub use fields::Fields;

use crate::bad_value::BadValue;
use crate::pgbackrest::failure::redact::Redacted;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A person must act.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What was done, a line each.
    Info,
    /// How a decision was come to: for a report of a defect.
    Debug,
}

impl Level {
    /// As it is typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for Level {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(BadValue("not error, warn, info or debug")),
        }
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line of text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// As it is typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for Format {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(BadValue("not text or json")),
        }
    }
}

/// Bytes that a pipe takes in one piece (`PIPE_BUF` of Linux).
const PIECE: usize = 4096;
/// How long a reader of stderr is waited for.
const READER: Duration = Duration::from_secs(1);

/// Starts logging for `program`. A second call changes nothing.
pub fn start(program: &'static str, level: Level, format: Format) {
    let most = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    };
    let _ = tracing::subscriber::set_global_default(Lines { program, most, format });
}

/// Copies pgBackRest's output to stderr as it stands; of very much only the end.
///
/// Half a pipe's usual size: a reader that has stopped reading must not hold us up, with a server that waits.
pub fn copy(output: &Redacted) {
    const MOST: usize = 32 * 1024;
    let text = output.as_str();
    if text.is_empty() {
        return;
    }
    let start = text.len().saturating_sub(MOST);
    let start = if start == 0 {
        0
    } else {
        text.as_bytes().iter().skip(start).position(|b| *b == b'\n').map_or(text.len(), |at| start + at + 1)
    };
    let (cut, rest) = (
        if start > 0 { format!("[{start} bytes left out]\n") } else { String::new() },
        text.get(start..).unwrap_or_default(),
    );
    let end = if rest.ends_with('\n') { "" } else { "\n" };
    write(format!("{cut}{rest}{end}").as_bytes());
}

/// Writes to stderr in pieces that a pipe takes whole (`PIPE_BUF`, pipe(7)), each only once there is room: the server's log
/// collector may have stopped reading, and the archiver waits for us. What finds no room in time is left out, and once
/// nobody has read in time, no more time is given.
fn write(bytes: &[u8]) {
    static UNREAD: AtomicBool = AtomicBool::new(false);
    let stderr = io::stderr();
    for piece in bytes.chunks(PIECE) {
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let timeout = if UNREAD.load(Ordering::Relaxed) { Duration::ZERO } else { READER };
        let unread = poll(&mut fds, timeout.try_into().ok().as_ref()) == Ok(0);
        UNREAD.store(unread, Ordering::Relaxed);
        if unread || stderr.lock().write_all(piece).is_err() {
            return;
        }
    }
}

/// Writes each event as one line. Spans are not used.
struct Lines {
    program: &'static str,
    most: tracing::Level,
    format: Format,
}

impl Lines {
    fn text(&self, message: &str) -> String {
        format!("{}: {}\n", self.program, message.replace('\n', " "))
    }

    fn json(&self, level: tracing::Level, said: Said) -> String {
        let mut line = said.fields;
        line.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("level".to_owned(), level.as_str().to_ascii_lowercase().into());
        line.insert("program".to_owned(), self.program.into());
        line.insert("message".to_owned(), said.message.into());
        format!("{}\n", Value::Object(line))
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.most
    }

    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        let level = *event.metadata().level();
        let line = match self.format {
            Format::Text => self.text(&said.message),
            Format::Json => self.json(level, said),
        };
        write(line.as_bytes());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What an event says: its words, and the fields beside them.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.insert(field.name().to_owned(), format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

/// An error and its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(line, ": {cause}");
        source = cause.source();
    }
    line
}
