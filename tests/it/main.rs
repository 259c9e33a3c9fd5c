//! The integration tests: one file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod live_watch;
mod outcome;
mod push_classes;
mod push_table;
mod standin;
