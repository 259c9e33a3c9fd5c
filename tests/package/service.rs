//! The package's service, started as systemd would: by the lines of the installed unit, in a system that is read-only
//! but for the paths it names.
//!
//! systemd itself is not needed, so that this works in a container too. What only systemd can do (filters of system
//! calls, capabilities) is not tried here.

use crate::machine::Cluster;
use pgbackrest_guard_lab::{Lab, Signal, within};
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The template's path, without its `@`.
pub(crate) const UNIT: &str = "/usr/lib/systemd/system/pgbackrest-guard";
/// An instance that nobody has enabled.
pub(crate) const INSTANCE: &str = "pgbackrest-guard@15-main.service";

/// The lines of a unit, for one instance.
struct Unit {
    text: String,
}

impl Unit {
    fn of(instance: &str) -> Self {
        let text = fs::read_to_string(format!("{UNIT}@.service")).unwrap();
        // %I is the name with its dashes turned into slashes.
        Self { text: text.replace("%I", &instance.replace('-', "/")).replace("%i", instance) }
    }

    fn value(&self, key: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("the unit has no {key}"))
    }
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(cluster: &Cluster, folder: &Path) -> Self {
        let unit = Unit::of(&cluster.instance());
        assert_eq!(unit.value("EnvironmentFile"), format!("-{}", cluster.environment_file().display()));
        let socket = folder.join("notify");
        let notified = UnixDatagram::bind(&socket).unwrap();
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        notified.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let log = folder.join("service.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-euc", &script(&unit)]).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let (name, value) = unit.value("Environment").split_once('=').unwrap();
        command.env(name, value).envs(environment(&cluster.environment_file())).env("NOTIFY_SOCKET", &socket);
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let service = Self { child, log };
        let mut message = [0; 256];
        let length =
            notified.recv(&mut message).unwrap_or_else(|error| panic!("not ready: {error}\n{}", service.log()));
        assert!(String::from_utf8_lossy(message.get(..length).unwrap()).contains("READY=1"));
        service
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Stops it as systemd does.
    pub(crate) fn stop(mut self) {
        Lab::signal(i32::try_from(self.child.id()).unwrap(), Signal::TERM);
        assert!(within(Duration::from_secs(15), || self.child.try_wait().unwrap().is_some()), "{}", self.log());
        assert_eq!(self.child.try_wait().unwrap().unwrap().code(), Some(0), "{}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap_or_default();
        }
    }
}

/// Makes everything read-only but the unit's paths, becomes the unit's user, and turns into its program.
fn script(unit: &Unit) -> String {
    assert_eq!((unit.value("ProtectSystem"), unit.value("NoNewPrivileges")), ("strict", "yes"));
    let paths = unit.value("ReadWritePaths").split(' ').map(|path| path.trim_start_matches('-'));
    let writable: String = paths
        .map(|path| format!("if [ -e {path} ]; then mount --bind {path} {path}; fi\n"))
        .collect::<Vec<_>>()
        .concat();
    let (user, group, program) = (unit.value("User"), unit.value("Group"), unit.value("ExecStart"));
    let become_user = format!("setpriv --reuid={user} --regid={group} --clear-groups --no-new-privs --inh-caps=-all");
    format!("{writable}mount -o remount,bind,ro /\nexec {become_user} {program}\n")
}

/// The variables of an environment file, as systemd and postgresql-common read them.
fn environment(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('\'').to_owned())).collect()
}
