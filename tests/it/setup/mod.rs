//! Setup: `pgbackrest-guard setup`, before initdb and after it.
//!
//! The scene is `scene.rs`: a data directory made of a few files, the variables of a container, and what a run says,
//! writes and leaves alone. No server runs.

// A release build can not be killed at its checkpoints.
#[cfg(debug_assertions)]
mod crash;
mod phases;
mod scene;
mod shell;
mod table;
mod trouble;
