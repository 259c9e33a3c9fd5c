//! The real Prometheus scrapes two real watchers by HTTP, with the rules that are shipped.

use super::{folder, program};
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, eventually};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_mins(1);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster with its watcher, which serves its metrics at this port.
struct Watched {
    cluster: Cluster,
    watcher: Running,
    port: u16,
}

fn watched(lab: &Lab, guard: &Path, push: &Path, name: &str) -> Watched {
    let builder = Cluster::builder(lab).name(name);
    let backrest = PgBackRest::builder(lab).name(&format!("backrest-{name}")).stanza(&format!("stanza-{name}"));
    let backrest = backrest.postgres(&builder).repo_posix(&lab.path().join(format!("repository-{name}"))).write();
    let (config, stanza) = (backrest.config_file(), backrest.stanza().to_owned());
    let command = format!("{} --pgbackrest-config={} --stanza={stanza} %p", push.display(), config.display());
    let cluster = builder.archive_command(&command).start();
    let port = Lab::free_tcp_port();
    let mut watcher = lab.command(guard);
    watcher.args(["watch", &format!("--metrics-listen=127.0.0.1:{port}"), &format!("--stanza={stanza}")]);
    watcher.arg("--pgdata").arg(cluster.pgdata()).arg("--pgbackrest-config").arg(config);
    watcher.env("PGUSER", "postgres").env("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1").stderr(Stdio::null());
    Watched { cluster, watcher: Running(watcher.spawn().unwrap()), port }
}

/// The answer's body of a GET.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// The series that an expression without blanks gives now: labels and value.
fn query(port: u16, expression: &str) -> Vec<(Value, String)> {
    let answer = get(port, &format!("/api/v1/query?query={expression}")).unwrap_or_default();
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    series.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap_or_default().to_owned())).collect()
}

fn prometheus(lab: &Lab, ports: &[u16]) -> (Running, u16) {
    let targets: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let rules = lab.write_file("rules.yml", std::fs::read(folder().join("prometheus-alerts.yml")).unwrap());
    // JSON is YAML.
    let configuration = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": [{ "job_name": "guard", "static_configs": [{ "targets": targets }] }],
    });
    let configuration = lab.write_file("prometheus.yml", configuration.to_string());
    let port = Lab::free_tcp_port();
    let mut command = lab.command(lab.copy_program(program("prometheus")));
    command.arg(format!("--config.file={}", configuration.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--storage.tsdb.path={}", lab.folder("tsdb").display()));
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Running(server), port)
}

#[test]
fn prometheus_scrapes_watchers_and_takes_the_rules() {
    let lab = Lab::new();
    let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let push = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
    let [one, two] = ["one", "two"].map(|name| watched(&lab, &guard, &push, name));
    let (_server, port) = prometheus(&lab, &[one.port, two.port]);
    eventually("both are scraped", SOON, || query(port, "pgbackrest_guard_up==1").len() == 2);
    let mut seen: Vec<(String, String)> = query(port, "pgbackrest_guard_postgresql_up==1")
        .into_iter()
        .map(|(labels, _)| (labels["stanza"].to_string(), labels["cluster"].to_string()))
        .collect();
    seen.sort();
    let expected = ["one", "two"].map(|name| (format!("\"stanza-{name}\""), format!("\"{name}\"")));
    assert_eq!(seen, expected);
    eventually("their first full backups are seen", SOON, || {
        query(port, "pgbackrest_guard_last_full_timestamp_seconds").len() == 2
    });
    one.cluster.stop(pgbackrest_guard_lab::StopMode::Fast);
    eventually("a server that is down is seen, by its watcher that runs", SOON, || {
        let down = query(port, "pgbackrest_guard_postgresql_up==0");
        down.len() == 1 && down[0].0["cluster"] == "one" && query(port, "pgbackrest_guard_up==1").len() == 2
    });
    drop(two.watcher);
    eventually("a watcher that has ended is seen", SOON, || {
        let gone = query(port, "up==0");
        gone.len() == 1 && gone[0].0["instance"] == format!("127.0.0.1:{}", two.port)
    });
    let rules: Value = serde_json::from_str(&get(port, "/api/v1/rules").unwrap()).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    let ill: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(rules.len() > 10 && ill.is_empty(), "{ill:?}");
    assert_eq!(get(one.port, "/healthz").as_deref(), Some("ok\n"));
}
