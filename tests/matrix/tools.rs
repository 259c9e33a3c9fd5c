//! The programs of each version, each in a folder of its own.
//!
//! The packages of six releases of Debian and Ubuntu are fetched by apt-get with all that they depend on, down to the C
//! library, and unpacked. apt-get is given lists, a cache and a state of its own, with nothing installed, so that nothing of
//! this machine counts and any user may run it; it takes the newest version that a release has, security updates included.
//! Each program is then told by patchelf to use the loader and the libraries beside it, so that it stays a program of its own
//! name (`/proc/PID/comm`), which a start through `ld.so` would not be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A version of PostgreSQL and where it comes from.
pub(crate) struct PostgreSql {
    pub(crate) name: &'static str,
    pub(crate) major: u32,
    release: &'static Release,
}

/// A version of pgBackRest, and the newest PostgreSQL that it knows.
pub(crate) struct PgBackRest {
    pub(crate) name: &'static str,
    pub(crate) newest_postgres: u32,
    release: &'static Release,
}

/// A release of a distribution, and what is taken from it.
struct Release {
    name: &'static str,
    postgres: u32,
    /// Its suites, as in a line of sources.list: address, suite, components.
    suites: &'static [&'static str],
    /// Whether Ubuntu's keys sign it; Debian's do otherwise.
    ubuntu: bool,
    others: &'static [&'static str],
}

const BULLSEYE: Release = Release {
    name: "bullseye",
    postgres: 13,
    suites: &[
        "http://deb.debian.org/debian bullseye main",
        "http://deb.debian.org/debian-security bullseye-security main",
    ],
    ubuntu: false,
    others: &[],
};
const JAMMY: Release = Release {
    name: "jammy",
    postgres: 14,
    suites: &[
        "http://archive.ubuntu.com/ubuntu jammy main universe",
        "http://archive.ubuntu.com/ubuntu jammy-updates main universe",
    ],
    ubuntu: true,
    others: &[],
};
const BOOKWORM: Release = Release {
    name: "bookworm",
    postgres: 15,
    suites: &[
        "http://deb.debian.org/debian bookworm main",
        "http://deb.debian.org/debian-security bookworm-security main",
    ],
    ubuntu: false,
    others: &["pgbackrest"],
};
const NOBLE: Release = Release {
    name: "noble",
    postgres: 16,
    suites: &[
        "http://archive.ubuntu.com/ubuntu noble main universe",
        "http://archive.ubuntu.com/ubuntu noble-updates main universe",
    ],
    ubuntu: true,
    others: &[],
};
const TRIXIE: Release = Release {
    name: "trixie",
    postgres: 17,
    suites: &["http://deb.debian.org/debian trixie main", "http://deb.debian.org/debian-security trixie-security main"],
    ubuntu: false,
    // Ubuntu's keys, vouched for by Debian's.
    others: &["pgbackrest", "ubuntu-keyring"],
};
const SID: Release = Release {
    name: "sid",
    postgres: 18,
    suites: &["http://deb.debian.org/debian sid main"],
    ubuntu: false,
    others: &["pgbackrest"],
};

pub(crate) const POSTGRES: [PostgreSql; 6] = [
    PostgreSql { name: "13", major: 13, release: &BULLSEYE },
    PostgreSql { name: "14", major: 14, release: &JAMMY },
    PostgreSql { name: "15", major: 15, release: &BOOKWORM },
    PostgreSql { name: "16", major: 16, release: &NOBLE },
    PostgreSql { name: "17", major: 17, release: &TRIXIE },
    PostgreSql { name: "18", major: 18, release: &SID },
];

pub(crate) const BACKREST: [PgBackRest; 3] = [
    PgBackRest { name: "2.45", newest_postgres: 15, release: &BOOKWORM },
    PgBackRest { name: "2.55", newest_postgres: 17, release: &TRIXIE },
    PgBackRest { name: "2.60", newest_postgres: 18, release: &SID },
];

/// Programs that are made to run where they are unpacked. PostgreSQL 13 has no `pg_amcheck` yet.
const PROGRAMS: [&str; 11] = [
    "initdb",
    "postgres",
    "pg_ctl",
    "psql",
    "pg_basebackup",
    "pg_controldata",
    "pg_rewind",
    "pg_amcheck",
    "pg_checksums",
    "pg_dump",
    "pg_dumpall",
];

/// Debian's keys, from its package `debian-archive-keyring`.
const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The folder with everything.
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// `MATRIX_TOOLS`, or a folder that an unprivileged user can reach and a reboot keeps.
    pub(crate) fn new() -> Self {
        let given = std::env::var_os("MATRIX_TOOLS").map(PathBuf::from);
        let folder = given.unwrap_or_else(|| PathBuf::from("/var/tmp/pgbackrest-guard-matrix"));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// The folder of PostgreSQL's programs.
    pub(crate) fn postgres(&self, postgres: &PostgreSql) -> PathBuf {
        programs(&self.laid(postgres.release), postgres.release)
    }

    /// The folder with pgBackRest.
    pub(crate) fn backrest(&self, backrest: &PgBackRest) -> PathBuf {
        self.laid(backrest.release).join("usr/bin-of-it")
    }

    /// What the programs say of themselves.
    pub(crate) fn versions(&self, postgres: &PostgreSql, backrest: &PgBackRest) -> String {
        let server = run(Command::new(self.postgres(postgres).join("postgres")).arg("--version"));
        let pgbackrest = run(Command::new(self.backrest(backrest).join("pgbackrest")).arg("version"));
        format!("{}, {}", server.trim(), pgbackrest.trim())
    }

    /// A release, unpacked.
    fn laid(&self, release: &Release) -> PathBuf {
        let root = self.0.join(release.name);
        if root.join("laid").exists() {
            return root;
        }
        let fetched = self.0.join(format!("{}.fetched", release.name));
        for stale in [&root, &fetched] {
            fs::remove_dir_all(stale).ok();
        }
        let keys = if release.ubuntu {
            self.laid(&TRIXIE).join("usr/share/keyrings/ubuntu-archive-keyring.gpg")
        } else {
            PathBuf::from(DEBIAN_KEYS)
        };
        fetch(release, &keys, &fetched);
        fs::create_dir_all(&root).unwrap();
        for package in fs::read_dir(fetched.join("archives")).unwrap() {
            let package = package.unwrap().path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root));
            }
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(fetched).unwrap();
        let programs = PROGRAMS.map(|program| programs(&root, release).join(program));
        programs.iter().filter(|program| program.exists()).for_each(|program| stand_alone(&root, program));
        let pgbackrest = root.join("usr/bin/pgbackrest");
        if pgbackrest.exists() {
            stand_alone(&root, &pgbackrest);
            // A folder with pgBackRest alone: the rest of that release's `usr/bin` belongs on nobody's PATH.
            fs::create_dir(root.join("usr/bin-of-it")).unwrap();
            symlink("../bin/pgbackrest", root.join("usr/bin-of-it/pgbackrest")).unwrap();
        }
        fs::write(root.join("laid"), "").unwrap();
        root
    }
}

/// The folder of PostgreSQL's programs in a release that is unpacked there.
fn programs(root: &Path, release: &Release) -> PathBuf {
    root.join(format!("usr/lib/postgresql/{}/bin", release.postgres))
}

/// Fetches a release's packages, checked by its keys, into `archives` below a folder.
fn fetch(release: &Release, keys: &Path, folder: &Path) {
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::write(folder.join("status"), "").unwrap();
    let sources = release.suites.iter().map(|suite| format!("deb [signed-by={}] {suite}\n", keys.display()));
    fs::write(folder.join("sources.list"), sources.collect::<String>()).unwrap();
    let apt_get = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["--quiet", "--yes", "--option", "Dir::Etc::main=/dev/null"]);
        for none in ["parts", "sourceparts", "preferences", "preferencesparts"] {
            apt_get.arg("--option").arg(format!("Dir::Etc::{none}=/dev/null"));
        }
        for (name, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::status", "status"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", ""),
            ("Dir::Cache::archives", "archives"),
        ] {
            apt_get.arg("--option").arg(format!("{name}={}", folder.join(place).display()));
        }
        // Its own user could not read what an unprivileged one may have made.
        apt_get.args(["--option", "APT::Sandbox::User=", "--option", "Acquire::Languages=none"]);
        apt_get
    };
    run(apt_get().arg("update"));
    let postgres = format!("postgresql-{}", release.postgres);
    run(apt_get().args(["--no-install-recommends", "--download-only", "install"]).arg(postgres).args(release.others));
}

/// Has a program use the loader and the libraries of its own release.
fn stand_alone(root: &Path, program: &Path) {
    let program = fs::canonicalize(program).unwrap();
    // Where a release that has not merged `/lib` into `/usr/lib` keeps its C library, and where the others do.
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| root.join(folder));
    let loaders = libraries.iter().map(|folder| folder.join("ld-linux-x86-64.so.2"));
    let loader = loaders.into_iter().find(|loader| loader.exists()).unwrap();
    let folders = libraries.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
    let mut patchelf = Command::new("patchelf");
    patchelf.arg("--set-interpreter").arg(loader).arg("--set-rpath").arg(folders.join(":"));
    run(patchelf.arg("--force-rpath").arg(program));
}

/// Runs a program to its end and returns what it wrote to stdout.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
