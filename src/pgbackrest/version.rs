//! Which pgBackRest is installed: `pgbackrest version` prints `pgBackRest 2.45` (2.45 to 2.59).

use std::fmt;

/// A version, without its patch level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl Version {
    /// The first that speaks plain HTTP to a store, and takes a bucket with dots in its name with path-style URIs.
    pub const HTTP_AND_DOTS: Self = Self { major: 2, minor: 58 };

    /// The first whose `backup` and `expire` work on a repository on another host; others refuse with 72.
    pub const BACKUP_TO_REMOTE: Self = Self { major: 2, minor: 55 };

    /// Reads what it prints; `None` when it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
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
