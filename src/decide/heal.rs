//! What follows when a file can't be pushed again.

/// After so many failures a file waits until the others had their turn.
const OFTEN: u32 = 3;
/// After so many a lost segment is left to a backup. During an outage nothing is tried, and nothing counted.
const TOO_OFTEN: u32 = 10;
/// pgBackRest's code for a file whose name the repository has under another checksum.
const DUPLICATE: i32 = 45;
/// pgBackRest's codes that are about the file and not about the repository: another cluster's segment (44), and one
/// that the repository holds with other content (45).
const ABOUT_THE_FILE: [i32; 2] = [44, DUPLICATE];

/// Why a file could not be pushed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// PostgreSQL has recycled it meanwhile: nobody's failure.
    Recycled,
    /// pgBackRest ended with this code.
    Code(i32),
    /// A repository holds other content under its name.
    Differs,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Whether a repository holds other content under the file's name.
    #[must_use]
    pub fn is_of_the_name(self) -> bool {
        matches!(self, Self::Differs | Self::Code(DUPLICATE))
    }

    /// Whether it is about this file, and the next one has its turn.
    #[must_use]
    pub fn is_about_the_file(self) -> bool {
        match self {
            Self::Recycled | Self::Differs => true,
            Self::Code(code) => ABOUT_THE_FILE.contains(&code),
            Self::Other => false,
        }
    }
}

/// What the watcher does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum AfterTrouble {
    /// Nothing; the next file has its turn.
    GoOn,
    /// pgBackRest will never take this file: it is left where it is, and the next one has its turn.
    LeaveFile,
    /// The others would fail too, and wait for the next poll.
    Stop {
        /// Whether the file has failed too often, and is left to a backup.
        leave_file: bool,
    },
}

/// Decides it. `failures`: how often this file has failed, this time among them.
pub fn after_trouble(trouble: Trouble, failures: u32, in_a_gap: bool) -> AfterTrouble {
    match trouble {
        Trouble::Recycled | Trouble::Differs => AfterTrouble::GoOn,
        Trouble::Code(code) if ABOUT_THE_FILE.contains(&code) => AfterTrouble::LeaveFile,
        Trouble::Code(_) | Trouble::Other => AfterTrouble::Stop { leave_file: failures >= TOO_OFTEN && in_a_gap },
    }
}

/// Which round a file is tried in: one that has often failed comes after those that have not.
#[must_use]
pub fn round(failures: u32) -> u32 {
    failures / OFTEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_file_or_fails_too_often_is_left() {
        for trouble in [Trouble::Recycled, Trouble::Differs] {
            assert_eq!(after_trouble(trouble, 99, true), AfterTrouble::GoOn);
        }
        for code in [44, 45] {
            assert_eq!(after_trouble(Trouble::Code(code), 1, false), AfterTrouble::LeaveFile);
        }
        for trouble in [Trouble::Code(39), Trouble::Other] {
            assert_eq!(after_trouble(trouble, 9, true), AfterTrouble::Stop { leave_file: false });
            assert_eq!(after_trouble(trouble, 10, true), AfterTrouble::Stop { leave_file: true });
            assert_eq!(after_trouble(trouble, 10, false), AfterTrouble::Stop { leave_file: false }, "our only copy");
        }
        assert_eq!([0, 2, 3, 7].map(round), [0, 0, 1, 2]);
    }
}
