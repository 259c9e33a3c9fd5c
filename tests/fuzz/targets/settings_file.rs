//! The settings file.

#![no_main]

pgbackrest_guard_fuzz::target!("settings-file");
