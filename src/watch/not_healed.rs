//! Why a file that was given up could not be pushed again.

use super::calls::NotStored;
use crate::decide::heal::Trouble;

/// Why a file could not be healed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotHealed {
    /// PostgreSQL has recycled it meanwhile: nobody's failure.
    #[error("PostgreSQL has recycled it meanwhile")]
    Recycled,
    /// It is not stored.
    #[error(transparent)]
    NotStored(#[from] NotStored),
    /// A repository holds other content under its name.
    #[error("repository {repository} holds other content under its name")]
    Differs {
        /// The repository.
        repository: u32,
        /// The path of what is there, in the repository.
        there: String,
    },
    /// A file of our own.
    #[error("{0}")]
    Local(String),
}

impl NotHealed {
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Recycled => Trouble::Recycled,
            Self::NotStored(NotStored::Failed(failure)) => failure.code().map_or(Trouble::Other, Trouble::Code),
            Self::Differs { .. } => Trouble::Differs,
            Self::NotStored(_) | Self::Local(_) => Trouble::Other,
        }
    }
}
