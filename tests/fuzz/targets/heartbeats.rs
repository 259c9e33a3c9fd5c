//! The newest heartbeat on pages of WAL.

#![no_main]

pgbackrest_guard_fuzz::target!("heartbeats");
