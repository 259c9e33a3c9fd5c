//! The integration tests: a folder a subject, whose first page says what it holds and in which scene.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod get;
mod house;
mod live;
mod push;
mod run;
mod setup;
mod status;
mod watch;
