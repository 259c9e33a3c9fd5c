//! pgBackRest's configuration.

#![no_main]

pgbackrest_guard_fuzz::target!("ini");
