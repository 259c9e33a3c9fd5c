//! The boundary to pgBackRest.
//!
//! It has one face, the [`client`]: verbs in, typed answers without secrets out. Behind it stands everything that the programs
//! know of pgBackRest's inside: how it is called ([`call`]) and watched ([`watch`], `run`), what it prints ([`output`]), what
//! its failures mean ([`failure`]), its configuration ([`config`], [`options`]), its repositories ([`identity`]), its `info`
//! answer ([`info`]) and its [`version`]. Beside it stand the files that it leaves in its spool and lock folders ([`prefetch`],
//! [`locks`], `spool`) what the kernel counts of its processes ([`progress`]), where the
//! server listens that it backs up (`local_server`), and which of them still read a file (`holders`). Many files at once are pushed by a [`drain`]. Each module names the versions it was checked
//! on; 2.45 (Debian 12) is the floor.

pub mod call;
pub mod client;
pub mod config;
pub mod drain;
pub mod failure;
mod holders;
pub mod identity;
pub mod info;
mod local_server;
pub mod locks;
pub mod options;
mod output;
pub mod prefetch;
pub mod progress;
mod pushed;
mod run;
mod spool;
pub mod version;
pub mod watch;

pub use client::{Client, Fetch, Fetched, NoListing, PushMode, Spoken};
pub use drain::{Drain, Drained};
pub use failure::{Class, End, Failure};
pub use holders::end_left;
pub use local_server::LocalServer;
pub use output::{MadeBackup, SkipReason, Skipped};
pub use pushed::Pushed;
pub use watch::{Interruption, Watch};
