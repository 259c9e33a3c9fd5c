//! `make package-test`: the Debian package on this machine, from `dpkg --install` to `dpkg --purge`.
//!
//! A cluster made by postgresql-common archives through the installed programs to an S3 server whose key is revoked and
//! given back, while the service of the package watches. It needs root, and refuses to touch a machine on which the
//! package is installed already. What it makes it takes away, whatever fails.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod machine;
mod service;

use machine::{Cluster, Package, ok, say, works};
use pgbackrest_guard_lab::{Lab, PgBackRest, S3Server, within};
use service::Service;
use std::path::Path;
use std::time::Duration;

const KEY: &str = "AKIAPACKAGE";
/// More than any step takes on a slow machine.
const SOON: Duration = Duration::from_mins(1);

fn main() {
    let file = std::env::args_os().nth(1).expect("name the package");
    assert!(rustix_is_root(), "needs root: it installs a package");
    assert!(!Path::new("/usr/bin/pgbackrest-guard").exists(), "pgbackrest-guard is installed here: purge it first");
    let package = Package::install(Path::new(&file));
    nothing_but_files(&package);
    let lab = Lab::new();
    let cluster = archive_a_cluster(&lab);
    reinstalled_and_removed(package, cluster);
    println!("The package works: installed, started, a key revoked and back, stopped, removed, purged.");
}

fn rustix_is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// The installation has changed nothing but its own files, and they are what they claim to be.
fn nothing_but_files(package: &Package) {
    for program in ["pgbackrest-guard-push", "pgbackrest-guard-get", "pgbackrest-guard"] {
        let version = ok(program, &["--version"]);
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        assert!(ok("dpkg", &["-L", "pgbackrest-guard"]).contains(&format!("/man1/{program}.1.gz")));
    }
    assert!(!Path::new("/etc/systemd/system/multi-user.target.wants").join(service::INSTANCE).exists());
    let settings = std::fs::read_to_string(machine::SETTINGS).unwrap();
    assert!(settings.lines().all(|line| line.is_empty() || line.starts_with('#')), "every setting is commented");
    if let Some(said) = works("systemd-analyze", &["verify", "--man=no", &format!("{}@15-main.service", service::UNIT)])
    {
        assert!(!said.contains(service::UNIT), "{said}");
        say("systemd-analyze has nothing to say about the unit");
    }
    if let Some(said) = works("lintian", &["--allow-root", "--fail-on=error,warning", &package.file]) {
        assert_eq!(said, "");
        say("lintian has nothing to say about the package");
    }
    say("installed; nothing is enabled, every setting is commented");
}

fn archive_a_cluster(lab: &Lab) -> Cluster {
    let s3 = S3Server::start(lab);
    s3.create_bucket("wal");
    s3.add_key(KEY, "secret");
    let cluster = Cluster::create(lab);
    let backrest = PgBackRest::builder(lab)
        .pg_path(&cluster.pgdata, cluster.port, Path::new(machine::SOCKETS))
        .repo_s3(&s3, "wal", KEY, "secret", "/repo")
        .archive_async(true)
        .option("global", "io-timeout", "1")
        .write();
    cluster.environment(&backrest);
    cluster.start();
    backrest.stanza_create();
    let service = Service::start(&cluster, lab.path());
    say("a cluster of postgresql-common runs, and the service of the package beside it");
    let full = within(SOON, || cluster.status("/backups/last_full_at").is_string());
    assert!(full, "no full backup\n{}", service.log());
    cluster.write_and_archive(3);
    assert_eq!(cluster.status("/verdict"), "ok");
    say("WAL is archived, the service has taken a full backup, status says ok");
    s3.revoke_key(KEY);
    cluster.write_and_archive(3);
    assert_eq!(cluster.status("/verdict"), "critical");
    assert_eq!(cluster.status("/gaps/0/class"), "gone");
    say("key revoked: PostgreSQL goes on, what is lost is on record, status says critical");
    s3.restore_key(KEY);
    cluster.write_and_archive(1);
    // The segments still lie in pg_wal, so no backup is needed.
    let healed = within(SOON, || cluster.status("/gaps/0/state") == "healed");
    assert!(healed, "the gap is not healed\n{}", service.log());
    let well = within(SOON, || cluster.status("/verdict") == "ok");
    assert!(well, "{}", cluster.status(""));
    say("key back: the service has pushed again what was lost, status says ok");
    service.stop();
    say("the service has stopped by SIGTERM");
    cluster
}

/// A changed configuration file survives an upgrade and a removal, and goes with a purge. A removal warns of a cluster
/// that still calls the programs.
fn reinstalled_and_removed(package: Package, cluster: Cluster) {
    let changed = "wal_drop_threshold_mb = 2000\n";
    std::fs::write(machine::SETTINGS, changed).unwrap();
    package.install_again();
    assert_eq!(std::fs::read_to_string(machine::SETTINGS).unwrap(), changed);
    let said = package.remove();
    let warning = format!("{} still calls it", cluster.settings_file().display());
    assert!(said.contains(&warning), "{said}");
    say("the removal warns of a cluster that still calls it");
    cluster.drop();
    assert!(Path::new(machine::SETTINGS).exists());
    assert!(!Path::new("/usr/bin/pgbackrest-guard").exists());
    package.purge();
    assert!(!Path::new(machine::SETTINGS).exists());
    say("a changed settings file survives an upgrade and a removal, and goes with the purge");
}
