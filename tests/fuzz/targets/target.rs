//! Targets of a restore.

#![no_main]

pgbackrest_guard_fuzz::target!("target");
