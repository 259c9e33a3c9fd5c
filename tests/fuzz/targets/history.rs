//! Timeline histories.

#![no_main]

pgbackrest_guard_fuzz::target!("history");
