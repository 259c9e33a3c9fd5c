//! What a line is about: the fields that it has in JSON beside its words.
//!
//! A field that is not known is left out. Their names and meaning are fixed (docs/monitoring.md); a test compares.

use crate::pgbackrest::Failure;

/// The fields of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The WAL file's name.
    pub segment: Option<String>,
    /// The class of the failure.
    pub class: Option<&'static str>,
    /// pgBackRest's exit code.
    pub code: Option<i32>,
    /// The code in the store's answer, such as `AccessDenied`.
    pub s3_code: Option<String>,
    /// What made push give up.
    pub cause: Option<&'static str>,
    /// The number of the gap in the ledger.
    pub gap: Option<u64>,
    /// The repository's number, where it is about one alone.
    pub repository: Option<u32>,
    /// Bytes: of WAL that waits, or of a backup.
    pub bytes: Option<u64>,
    /// Seconds: how long it has taken so far, or how long it is waited until the next try.
    pub seconds: Option<u64>,
}

impl Fields {
    /// The names, in the order of a line.
    pub const NAMES: [&str; 9] =
        ["segment", "class", "code", "s3_code", "cause", "gap", "repository", "bytes", "seconds"];

    /// Those of a failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        let repositories = failure.repositories();
        let repository = if let [one] = repositories.as_slice() { Some(*one) } else { None };
        let s3_code = failure.s3_code().map(str::to_owned);
        let class = Some(failure.class().as_str());
        Self { class, code: failure.code(), s3_code, repository, ..Self::default() }
    }

    /// Those of a WAL file.
    #[must_use]
    pub fn about(file: &impl ToString) -> Self {
        Self::default().with_segment(file)
    }

    /// The same, about this WAL file.
    #[must_use]
    pub fn with_segment(self, file: &impl ToString) -> Self {
        Self { segment: Some(file.to_string()), ..self }
    }

    /// Logs that a person must act.
    pub fn error(&self, line: &str) {
        let Self { segment, s3_code, class, code, cause, gap, repository, bytes, seconds } = self;
        let (segment, s3_code) = (segment.as_deref(), s3_code.as_deref());
        tracing::error!(segment, class, code, s3_code, cause, gap, repository, bytes, seconds, "{line}");
    }

    /// Logs that something is not as it should be.
    pub fn warn(&self, line: &str) {
        let Self { segment, s3_code, class, code, cause, gap, repository, bytes, seconds } = self;
        let (segment, s3_code) = (segment.as_deref(), s3_code.as_deref());
        tracing::warn!(segment, class, code, s3_code, cause, gap, repository, bytes, seconds, "{line}");
    }

    /// Logs what was done.
    pub fn info(&self, line: &str) {
        let Self { segment, s3_code, class, code, cause, gap, repository, bytes, seconds } = self;
        let (segment, s3_code) = (segment.as_deref(), s3_code.as_deref());
        tracing::info!(segment, class, code, s3_code, cause, gap, repository, bytes, seconds, "{line}");
    }
}
