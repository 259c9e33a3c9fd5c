//! The ledger's file.

#![no_main]

pgbackrest_guard_fuzz::target!("ledger");
