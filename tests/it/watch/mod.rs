//! Watch: the watcher beside a server.
//!
//! The scene is `scene.rs`: a real PostgreSQL, and `standin.sh` in the place of pgBackRest, which answers as it is
//! told. Tests that start the server are named `live_*`. `histories.rs` needs none: it plays the watcher's decisions.

// A release build can not be killed at its checkpoints.
#[cfg(debug_assertions)]
mod crash;
mod full_disk;
mod histories;
mod metrics;
mod numbers;
mod others;
pub(crate) mod scene;
mod table;
mod walk;
