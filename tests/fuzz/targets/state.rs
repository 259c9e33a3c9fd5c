//! The ledger's state.

#![no_main]

pgbackrest_guard_fuzz::target!("state");
