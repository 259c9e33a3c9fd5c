//! Which pgBackRest is installed: `pgbackrest version` prints `pgBackRest 2.45` (2.45 to 2.59).

use super::call::Caller;
use super::run::{self, Ending, Watch};
use std::ffi::OsStr;
use std::fmt;
use std::time::{Duration, Instant};

/// How long it may take to say.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the clock is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// A version, without its patch level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// The first that speaks plain HTTP to a store, and takes a bucket with dots in its name with path-style URIs.
    pub const HTTP_AND_DOTS: Self = Self { major: 2, minor: 58 };

    /// Asks it; `None` when pgBackRest can't be started or says something else.
    #[must_use]
    pub fn ask(caller: &Caller) -> Option<Self> {
        let started = Instant::now();
        let mut check = |_| (started.elapsed() >= LIMIT).then_some(());
        let watch =
            Watch { check: &mut check, interval: INTERVAL, on_signal: (), keep: run::KEPT_BYTES, grace: run::GRACE };
        let ended = run::run(caller.command([OsStr::new("version")]), None, watch);
        match ended.ending {
            Ending::Exited(0) => Self::parse(&String::from_utf8_lossy(&ended.stdout)),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers = text.trim().strip_prefix("pgBackRest ")?;
        let mut parts = numbers.split('.');
        let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        Some(Self { major: number(parts.next()?)?, minor: number(parts.next()?)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        let read = |text| Version::parse(text).map(|version| (version.to_string(), version >= Version::HTTP_AND_DOTS));
        assert_eq!(read("pgBackRest 2.45\n"), Some(("2.45".to_owned(), false)));
        assert_eq!(read("pgBackRest 2.59.1"), Some(("2.59".to_owned(), true)));
        assert_eq!(read("pgBackRest 2.60dev"), Some(("2.60".to_owned(), true)));
        assert_eq!(read("pgBackRest 2.9"), Some(("2.9".to_owned(), false)));
        assert_eq!(read("pgBackRest two"), None);
    }
}
