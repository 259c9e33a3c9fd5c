//! Names and addresses that `setup` screens.

#![no_main]

pgbackrest_guard_fuzz::target!("bucket");
