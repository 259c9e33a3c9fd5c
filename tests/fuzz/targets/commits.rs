//! The newest commit on pages of WAL.

#![no_main]

pgbackrest_guard_fuzz::target!("commits");
