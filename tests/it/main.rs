//! The integration tests: one file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod get_calls;
mod get_standin;
mod get_table;
mod live_get;
mod live_get_ends;
mod live_get_others;
mod live_get_outage;
mod outcome;
mod push_classes;
mod push_table;
mod standin;
