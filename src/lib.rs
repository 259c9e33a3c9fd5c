//! pgbackrest-guard.
pub mod checkpoint;
pub mod classify;
pub mod cli;
pub mod data_directory;
pub mod decide;
pub mod durable;
pub mod exit;
pub mod get;
pub mod ledger;
pub mod log;
pub mod pgbackrest;
pub mod push;
pub mod session;
pub mod settings;
pub mod space;
pub mod status;
pub mod wal;
