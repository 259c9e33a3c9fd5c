//! Push: `pgbackrest-guard-push` as PostgreSQL calls it, once for each file.
//!
//! The scene is `standin.rs`: a data directory in a temporary folder and `standin.sh` in the place of pgBackRest,
//! which does what the case says. The program is the real one, no server runs. `outcome.rs` asks what must be true
//! afterwards.

mod classes;
mod clusters;
// A release build can not be killed at its checkpoints.
#[cfg(debug_assertions)]
mod crash;
mod dead_volume;
pub(crate) mod full_disk;
mod giving_up;
pub(crate) mod outcome;
mod pressure;
mod settings;
pub(crate) mod standin;
mod state;
mod table;
mod watch;
