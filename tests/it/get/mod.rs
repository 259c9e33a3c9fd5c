//! Get: `pgbackrest-guard-get` as a recovery calls it, once for each file.
//!
//! The scene is `standin.rs`: a data directory with its signal files in a temporary folder, and `standin.sh` in the
//! place of pgBackRest. The program is the real one, no server runs.

mod calls;
mod handover;
mod latency;
mod standin;
mod table;
