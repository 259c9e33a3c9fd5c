//! What is wrong with a value that was typed or set. A module of its own, because what is read lies all over the
//! crate, and the settings that read it lie on top of that.

/// Why a text is no value of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub &'static str);
