//! Programs between PostgreSQL and pgBackRest.
//!
//! Data goes one way in each of them: arguments, environment and file become [`settings`]; files, the server and pgBackRest
//! give the facts ([`data_directory`], [`space`], [`postgres`], [`pgbackrest`]); [`decide`] makes a decision
//! of them, without a clock, a file or a process in it; then [`push`], [`get`], [`watch`], [`setup`], [`restore`] or [`status`] acts on it, with
//! the [`ledger`] as the durable record; and the [`exit`] code tells PostgreSQL.
pub mod backup_state;
pub mod bad_value;
pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod clusters;
pub mod data_directory;
pub mod decide;
pub mod drill;
pub mod drill_record;
pub mod durable;
pub mod epoch;
pub mod errand;
pub mod exit;
pub mod get;
pub mod ledger;
pub mod log;
pub mod moment;
pub mod pgbackrest;
pub mod postgres;
pub mod presence;
pub mod problem_report;
pub mod push;
pub mod restore;
pub mod seen_catalog;
pub mod settings;
pub mod setup;
pub mod signals;
pub mod sizes;
pub mod space;
pub mod status;
pub mod supervisor;
pub mod verdict;
pub mod wal;
pub mod watch;
pub mod word;
