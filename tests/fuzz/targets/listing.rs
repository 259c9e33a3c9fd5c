//! The listing of an archive's folder.

#![no_main]

pgbackrest_guard_fuzz::target!("listing");
