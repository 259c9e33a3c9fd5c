//! The engine, and the image that it has built.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// The image's name.
const IMAGE: &str = "localhost/pgbackrest-guard-image-test";

/// docker or podman.
pub(crate) struct Engine {
    words: Vec<String>,
    run: Vec<String>,
    pub(crate) image: String,
    pub(crate) major: u32,
}

impl Engine {
    /// Finds the engine and builds the image.
    pub(crate) fn new() -> Self {
        let words = variable("IMAGE_TEST_ENGINE");
        let answers = |word: &&str| {
            let info = Command::new(word).arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
            info.is_ok_and(|status| status.success())
        };
        let found = || ["docker", "podman"].into_iter().find(answers).map(|word| vec![word.to_owned()]);
        let words = words.or_else(found).expect("no container engine answers: install docker or podman");
        let run = variable("IMAGE_TEST_RUN").unwrap_or_default();
        let mut engine = Self { words, run, image: String::new(), major: 0 };
        engine.image = std::env::var("IMAGE_TEST_IMAGE").unwrap_or_else(|_| engine.build());
        let major = ["run", "--rm", "--network", "host", "--entrypoint", "printenv"].map(str::to_owned);
        let asked = [major.to_vec(), engine.run.clone(), vec![engine.image.clone(), "PG_MAJOR".to_owned()]].concat();
        engine.major = engine.ok(&asked).trim().parse().unwrap();
        engine
    }

    /// The Dockerfile as it stands, on the bases that are named.
    fn build(&self) -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut arguments: Vec<String> = ["build", "--network", "host", "--tag", IMAGE].map(str::to_owned).to_vec();
        arguments.extend(variable("IMAGE_TEST_BUILD").unwrap_or_default());
        for name in ["POSTGRES_IMAGE", "RUST_IMAGE"] {
            let Ok(value) = std::env::var(name) else { continue };
            let image = if value.starts_with('/') { self.import(name, Path::new(&value)) } else { value };
            arguments.extend(["--build-arg".to_owned(), format!("{name}={image}")]);
        }
        arguments.extend(["--file".to_owned(), format!("{root}/packaging/docker/Dockerfile"), root.to_owned()]);
        let began = Instant::now();
        self.ok(&arguments);
        println!("built in {} s", began.elapsed().as_secs());
        IMAGE.to_owned()
    }

    /// A root file system in a folder as an image, with what the official one says of itself.
    fn import(&self, name: &str, folder: &Path) -> String {
        let image = format!("{IMAGE}-{}", name.to_lowercase().replace('_', "-"));
        let mut changes = vec!["ENV LANG=C.UTF-8".to_owned()];
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let programs = std::fs::read_dir(folder.join("usr/lib/postgresql")).into_iter().flatten().flatten().next();
        if let Some(major) = programs.map(|entry| entry.file_name().into_string().unwrap()) {
            let number: u32 = major.parse().unwrap();
            let (data, volume) = if number >= 18 {
                (format!("/var/lib/postgresql/{major}/docker"), "/var/lib/postgresql")
            } else {
                ("/var/lib/postgresql/data".to_owned(), "/var/lib/postgresql/data")
            };
            changes.push(format!("ENV PATH={path}:/usr/lib/postgresql/{major}/bin"));
            changes.extend([format!("ENV PG_MAJOR={major}"), format!("ENV PGDATA={data}"), format!("VOLUME {volume}")]);
        } else {
            changes.extend([format!("ENV PATH={path}"), "ENV CARGO_HOME=/usr/local/cargo".to_owned()]);
        }
        let mut tar =
            Command::new("tar").arg("-C").arg(folder).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let mut import = self.command(&["import".to_owned()]);
        for change in &changes {
            import.args(["--change", change]);
        }
        let import = import.args(["-", &image]).stdin(tar.stdout.take().unwrap()).output().unwrap();
        assert!(tar.wait().unwrap().success() && import.status.success(), "{}", text(&import));
        image
    }

    /// The engine with these arguments.
    pub(crate) fn command(&self, arguments: &[String]) -> Command {
        let (program, words) = self.words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(words).args(arguments).stdin(Stdio::null());
        command
    }

    /// What `run` needs on this machine.
    pub(crate) fn run_arguments(&self) -> &[String] {
        &self.run
    }

    /// Runs it to its end; panics with what it wrote when it fails.
    pub(crate) fn ok(&self, arguments: &[String]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where the image keeps the data directory, and where a volume belongs: since 18 the volume is the folder above.
    pub(crate) fn mount(&self) -> &'static str {
        if self.major >= 18 { "/var/lib/postgresql" } else { "/var/lib/postgresql/data" }
    }

    /// The data directory in a volume that is mounted there.
    pub(crate) fn data_in(&self, volume: &Path) -> PathBuf {
        if self.major >= 18 { volume.join(format!("{}/docker", self.major)) } else { volume.to_owned() }
    }

    /// What the engine and the programs in the image say of themselves.
    pub(crate) fn versions(&self) -> String {
        let version = self.ok(&["--version".to_owned()]);
        let script = "postgres --version && pgbackrest version && pgbackrest-guard --version";
        let mut arguments: Vec<String> =
            ["run", "--rm", "--network", "host", "--entrypoint", "sh"].map(str::to_owned).to_vec();
        arguments.extend(self.run.clone());
        arguments.extend([self.image.clone(), "-c".to_owned(), script.to_owned()]);
        format!("{}, {}", version.trim(), self.ok(&arguments).trim().replace('\n', ", "))
    }
}

/// Both streams.
pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The words of a variable.
fn variable(name: &str) -> Option<Vec<String>> {
    let words: Vec<String> = std::env::var(name).ok()?.split_whitespace().map(str::to_owned).collect();
    Some(words).filter(|words| !words.is_empty())
}
