//! `make monitoring-test`: what is shipped for monitoring, before the real Prometheus and its promtool.
//!
//! Both come out of Debian's package, unpacked below the build's `target/tools`: nothing is installed, and no service of it
//! is started. The situations are those of tests/it/status.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod alerts;
#[path = "../it/status/exposition.rs"]
mod exposition;
#[path = "../it/status/reports.rs"]
mod reports;
mod scrape;
#[path = "../it/status/situations.rs"]
mod situations;

use std::fs;
use std::path::{Path, PathBuf};

/// What is shipped for monitoring.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/monitoring")
}

fn shipped(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// `prometheus` or `promtool`.
fn program(name: &str) -> PathBuf {
    let given = std::env::var_os("PGBACKREST_GUARD_TOOLS").map(PathBuf::from);
    let tools = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"));
    let path = tools.join("prometheus/usr/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make monitoring-test`, which puts it there", path.display());
    path
}
