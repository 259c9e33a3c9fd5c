//! Settings by variables.

#![no_main]

pgbackrest_guard_fuzz::target!("settings");
