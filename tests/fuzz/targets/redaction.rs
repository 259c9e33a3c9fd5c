//! Texts with secrets.

#![no_main]

pgbackrest_guard_fuzz::target!("redaction");
