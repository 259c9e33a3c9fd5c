//! The laboratory: what the integration tests of pgbackrest-guard run against.
//!
//! Nothing here is a stand-in. A test gets throw-away `PostgreSQL` clusters, the machine's own
//! pgBackRest, an S3 server over TLS in the test's process, whose keys, policies, buckets and
//! faults it changes while everything runs, OpenSSH's server for a repository on another host, a
//! way to foreign stores that fails on demand, and small disks that can be full. All of it lives in one folder under `/tmp` (a Unix socket's path must
//! stay below 108 bytes) and ends when the values are dropped.
//!
//! A failure of the laboratory is the failure of the test, so its functions panic with what they
//! know instead of returning errors; the few that observe a failure on purpose say so.
//!
//! ```no_run
//! use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server};
//!
//! let lab = Lab::new();
//! let s3 = S3Server::start(&lab);
//! s3.create_bucket("wal");
//! s3.add_key("AKIALAB", "secret");
//! let postgres = Cluster::builder(&lab);
//! let backrest = PgBackRest::builder(&lab)
//!     .postgres(&postgres)
//!     .repo_s3(&s3, "wal", "AKIALAB", "secret", "/repo")
//!     .write();
//! let cluster = postgres.archive_command(&backrest.archive_command()).start();
//! backrest.stanza_create();
//! cluster.write_wal(3);
//! s3.revoke_key("AKIALAB");
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: whatever goes wrong here must end the test, and every function says so above"
)]
#![expect(
    clippy::must_use_candidate,
    reason = "many calls are made for their effect on the running programs, their value is extra"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bans are for the programs: this crate starts programs and writes files that need not last"
)]

mod backrest;
mod cluster;
mod disk;
mod front;
mod lab;
mod restore;
mod s3;
mod ssh;
mod wait;

pub use backrest::{Output, PgBackRest, PgBackRestBuilder};
pub use cluster::{Cluster, ClusterBuilder, StopMode, postgres_programs};
pub use disk::Disk;
pub use front::{Front, Way};
pub use lab::{Lab, Process, program_on_path};
pub use rustix::process::Signal;
pub use s3::{Fault, FaultId, FaultKind, Operation, Operations, Policy, Request, S3Server};
pub use ssh::SshServer;
pub use wait::{eventually, within};
