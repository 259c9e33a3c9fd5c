//! The first page of a segment.

#![no_main]

pgbackrest_guard_fuzz::target!("page");
