//! What pgBackRest printed, into a class.

#![no_main]

pgbackrest_guard_fuzz::target!("failure");
