//! The answer of `pgbackrest info`.

#![no_main]

pgbackrest_guard_fuzz::target!("info");
