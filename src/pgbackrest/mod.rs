//! The boundary to pgBackRest.
//!
//! Everything the programs know of pgBackRest's inside stands here and nowhere else: how its configuration is read
//! ([`config`], [`options`]), the one way it is called ([`call`], [`run`]), what it prints ([`output`]), the files it
//! leaves in its spool and lock folders ([`spool`], [`prefetch`], [`locks`]) its repositories ([`identity`]) its `info` answer ([`info`]) and its
//! version ([`version`]). Each module names the versions
//! it was checked on; 2.45 (Debian 12) is the floor.

pub mod call;
pub mod config;
pub mod identity;
pub mod info;
pub mod locks;
pub mod options;
pub mod output;
pub mod prefetch;
pub mod progress;
pub mod run;
pub mod spool;
pub mod version;
