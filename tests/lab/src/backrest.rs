//! The real pgBackRest: its configuration file, its calls, and what its repositories hold.
//!
//! Everything of it stays in the laboratory: lock, spool and log paths. `--config` and `--stanza`
//! go on the command line of each call, since pgBackRest copies only options given there into the
//! `restore_command` that a restore writes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::s3::Objects;
use crate::{ClusterBuilder, Lab, S3Server};

/// A configured pgBackRest.
pub struct PgBackRest {
    lab: Lab,
    stanza: String,
    folder: PathBuf,
    pgdata: PathBuf,
    repositories: Vec<Repository>,
}

/// A configuration to be written.
#[must_use]
pub struct PgBackRestBuilder {
    lab: Lab,
    name: String,
    stanza: String,
    pgdata: PathBuf,
    repositories: Vec<Repository>,
    options: Vec<(String, String, String)>,
}

enum Repository {
    S3 { objects: Objects, bucket: String, prefix: String },
    Posix(PathBuf),
}

/// How a call ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// The exit code; `None` when a signal ended the program.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl PgBackRestBuilder {
    /// The name of its folder in the laboratory, `pgbackrest` unless said otherwise.
    pub fn name(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The stanza, `main` unless said otherwise.
    pub fn stanza(self, stanza: &str) -> Self {
        Self { stanza: stanza.to_owned(), ..self }
    }

    /// The cluster that it archives and backs up.
    pub fn postgres(self, cluster: &ClusterBuilder) -> Self {
        self.pg_path(&cluster.pgdata(), cluster.port(), cluster.socket_dir())
    }

    /// The same by the cluster's paths.
    pub fn pg_path(mut self, pgdata: &Path, port: u16, socket_dir: &Path) -> Self {
        pgdata.clone_into(&mut self.pgdata);
        self.stanza_option("pg1-path", pgdata.display())
            .stanza_option("pg1-port", port)
            .stanza_option("pg1-socket-path", socket_dir.display())
            .stanza_option("pg1-user", "postgres")
    }

    /// Adds the next repository, in a bucket; `prefix` is its path there, such as `/repo`.
    pub fn repo_s3(mut self, s3: &S3Server, bucket: &str, key_id: &str, secret: &str, prefix: &str) -> Self {
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        self = self
            .repo_option("path", &prefix)
            .repo_option("type", "s3")
            .repo_option("s3-bucket", &bucket)
            .repo_option("s3-endpoint", s3.host())
            .repo_option("s3-region", "us-east-1")
            .repo_option("s3-key", key_id)
            .repo_option("s3-key-secret", secret)
            .repo_option("s3-uri-style", "path")
            .repo_option("storage-port", s3.port())
            .repo_option("storage-ca-file", s3.ca_file().display())
            .repo_option("retention-full", 100);
        self.repositories.push(Repository::S3 { objects: s3.store(), bucket, prefix });
        self
    }

    /// Adds the next repository, in a folder.
    pub fn repo_posix(mut self, path: &Path) -> Self {
        self = self.repo_option("path", path.display()).repo_option("retention-full", 100);
        self.repositories.push(Repository::Posix(path.to_owned()));
        self
    }

    /// Switches asynchronous archiving on or off.
    pub fn archive_async(self, on: bool) -> Self {
        self.option("global", "archive-async", if on { "y" } else { "n" })
    }

    /// Any option, in a section such as `global` or `global:archive-push`; the last one of a name counts.
    pub fn option(mut self, section: &str, key: &str, value: &str) -> Self {
        self.options.retain(|(in_section, name, _)| in_section != section || name != key);
        self.options.push((section.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    fn repo_option(self, key: &str, value: impl std::fmt::Display) -> Self {
        let number = self.repositories.len() + 1;
        self.option("global", &format!("repo{number}-{key}"), &value.to_string())
    }

    fn stanza_option(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.option("STANZA", key, &value.to_string())
    }

    /// Writes the configuration file and makes the folders.
    pub fn write(self) -> PgBackRest {
        let folder = self.lab.folder(&self.name);
        for part in ["lock", "spool", "log"] {
            self.lab.folder(Path::new(&self.name).join(part));
        }
        for repository in &self.repositories {
            if let Repository::Posix(path) = repository
                && let Ok(inside) = path.strip_prefix(self.lab.path())
            {
                self.lab.folder(inside);
            }
        }
        self.lab.write_file(folder.join("pgbackrest.conf"), self.text(&folder));
        let Self { lab, stanza, pgdata, repositories, .. } = self;
        PgBackRest { lab, stanza, folder, pgdata, repositories }
    }

    fn text(&self, folder: &Path) -> String {
        let sections: BTreeSet<&str> = self.options.iter().map(|(section, ..)| section.as_str()).collect();
        let mut text = String::new();
        for section in sections {
            let title = if section == "STANZA" { &self.stanza } else { section };
            writeln!(text, "[{title}]").unwrap();
            for (_, key, value) in self.options.iter().filter(|(of, ..)| of == section) {
                let value = value.replace("{folder}", &folder.display().to_string());
                writeln!(text, "{key}={value}").unwrap();
            }
        }
        text
    }
}

impl PgBackRest {
    /// Describes a configuration with short time limits (`io-timeout` 5, `archive-timeout` 10
    /// seconds), one process, no compression and no log files.
    pub fn builder(lab: &Lab) -> PgBackRestBuilder {
        let (name, stanza) = ("pgbackrest".to_owned(), "main".to_owned());
        let (repositories, options) = (Vec::new(), Vec::new());
        PgBackRestBuilder { lab: lab.clone(), name, stanza, pgdata: PathBuf::new(), repositories, options }
            .option("global", "lock-path", "{folder}/lock")
            .option("global", "spool-path", "{folder}/spool")
            .option("global", "log-path", "{folder}/log")
            .option("global", "log-level-file", "off")
            .option("global", "io-timeout", "5")
            .option("global", "archive-timeout", "10")
            .option("global", "compress-type", "none")
            .option("global", "process-max", "1")
            .option("global", "start-fast", "y")
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("pgbackrest.conf")
    }

    /// The stanza's name.
    pub fn stanza(&self) -> &str {
        &self.stanza
    }

    /// The spool path; asynchronous pushes keep their state in `archive/STANZA/out` below it.
    pub fn spool_path(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// The lock path, where stop files are too.
    pub fn lock_path(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The path of log files, which exist only when `log-level-file` is set.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Bare pgBackRest as `archive_command`.
    pub fn archive_command(&self) -> String {
        format!("pgbackrest --config={} --stanza={} archive-push %p", self.config_file().display(), self.stanza)
    }

    /// Bare pgBackRest as `restore_command`.
    pub fn restore_command(&self) -> String {
        let config = self.config_file();
        format!("pgbackrest --config={} --stanza={} archive-get %f \"%p\"", config.display(), self.stanza)
    }

    /// A call with these arguments, not started: as the unprivileged user, in the data directory
    /// (archive-push insists on it), warnings and errors on stderr.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = self.lab.command("pgbackrest");
        if self.pgdata.exists() {
            command.current_dir(&self.pgdata);
        }
        command.arg(format!("--config={}", self.config_file().display())).arg(format!("--stanza={}", self.stanza));
        command.args(["--log-level-console=off", "--log-level-stderr=warn"]).args(arguments);
        command
    }

    /// Runs a call to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        let output = self.command(arguments).output().expect("pgbackrest is not installed");
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a call and returns its stdout; panics with all it wrote when it fails.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments);
        let call: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
        let Output { status, stdout, stderr } = output;
        assert!(status.success(), "pgbackrest {} ended with {status}\n{stdout}{stderr}", call.join(" "));
        stdout
    }

    /// `stanza-create`.
    #[track_caller]
    pub fn stanza_create(&self) {
        self.ok(&["stanza-create"]);
    }

    /// `backup` of a type, `full`, `diff` or `incr`, to repository 1.
    #[track_caller]
    pub fn backup(&self, kind: &str) {
        self.ok(&[format!("--type={kind}").as_str(), "backup"]);
    }

    /// `check`.
    #[track_caller]
    pub fn check(&self) {
        self.ok(&["check"]);
    }

    /// `info` as JSON, unparsed, whatever it says about the repositories.
    pub fn info(&self) -> Output {
        self.run(&["info", "--output=json"])
    }

    /// The segments, `.history` and `.partial` files in a repository (counted from 1), by their names
    /// in `pg_wal`, read past pgBackRest, keys and policies; none when the bucket has been deleted.
    pub fn archived(&self, repo: u8) -> BTreeSet<String> {
        let marker = format!("archive/{}/", self.stanza);
        let files = self.files(repo);
        let names = files.iter().filter(|path| path.starts_with(&marker)).filter_map(|path| wal_name(path));
        names.collect()
    }

    /// The paths of all files in a repository (counted from 1), below its path, sorted.
    pub fn files(&self, repo: u8) -> Vec<String> {
        match self.repositories.get(usize::from(repo) - 1).expect("a repository of this configuration") {
            Repository::Posix(path) => files_below(path),
            Repository::S3 { objects, bucket, prefix } => {
                let prefix = format!("{}/", prefix.trim_matches('/'));
                let keys = objects.keys(bucket);
                keys.iter().filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned())).collect()
            }
        }
    }
}

/// The name in `pg_wal` of a file in the archive: a segment has its checksum and compression behind.
fn wal_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    if file.ends_with(".history") || file.ends_with(".backup") {
        return Some(file.to_owned());
    }
    let (name, _) = file.split_once('-')?;
    let segment = name.get(..24)?;
    segment.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| name.to_owned())
}

/// The paths of all files below a folder, relative to it, sorted. What vanishes meanwhile is left out.
pub(crate) fn files_below(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(root) {
                files.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}
