//! What is shipped for monitoring names only what the programs have, and the alerts fire when they should.

use super::exposition::{Families, parse};
use super::situations::situations;
use pgbackrest_guard::status::prometheus;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PREFIX: &str = "pgbackrest_guard_";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/monitoring")
}

fn shipped(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The words of a text that are metrics' names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(PREFIX)).map(str::to_owned).collect()
}

fn families(report: &pgbackrest_guard::status::Report) -> Families {
    parse(&prometheus(report)).unwrap()
}

fn printed() -> BTreeSet<String> {
    situations().iter().flat_map(|(_, report)| families(report).into_keys()).collect()
}

#[test]
fn rules_dashboard_and_page_name_metrics_that_exist() {
    let printed = printed();
    for name in ["prometheus-alerts.yml", "grafana-dashboard.json", "../../docs/monitoring.md"] {
        let named = metrics_in(&shipped(name));
        assert!(named.len() >= 10, "{name}: {named:?}");
        let unknown: Vec<_> = named.difference(&printed).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}, which status does not print");
    }
    let page = metrics_in(&shipped("../../docs/monitoring.md"));
    let missing: Vec<_> = printed.difference(&page).collect();
    assert!(missing.is_empty(), "docs/monitoring.md lacks {missing:?}");
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&shipped("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24 && panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("instance=~\"$instance\",cluster=~\"$cluster\""), "{expression}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "no data source of the author's");
        }
    }
}

#[test]
fn check_commands_use_flags_that_exist() {
    let help = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard")).args(["status", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in ["nagios.cfg", "icinga2.conf"] {
        let text = shipped(name);
        assert!(text.contains("--output=nagios"), "{name}");
        let flags = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.starts_with("--"));
        for flag in flags {
            assert!(help.split_whitespace().any(|word| word == flag), "{name}: status has no {flag}");
        }
    }
}

/// The alerts that each situation raises; the others raise none.
const RAISED: [(&str, &[&str]); 18] = [
    ("no data directory", &["Unknown"]),
    ("no ledger yet", &["Unknown"]),
    ("ledger unreadable", &["Unknown"]),
    ("server down", &["ServerDown"]),
    ("nothing measured", &[]),
    ("open gap", &["GapOpen"]),
    ("great gap, failing", &["GapOpen", "ArchivingFails", "ThresholdSoon"]),
    ("every kind of gap", &["GapOpen"]),
    ("partial lost on the old timeline", &["GapOpen"]),
    ("failing now", &["ArchivingFails", "ThresholdSoon"]),
    ("backlog over half", &["BacklogHigh"]),
    ("backlog at the threshold", &["BacklogHigh", "BacklogAtThreshold"]),
    ("disk short", &["DiskShort"]),
    ("no full backup", &["NoFullBackup"]),
    ("backup overdue", &["BackupOverdue"]),
    ("catalog inconclusive", &["CatalogInconclusive"]),
    ("bucket refused", &["BucketRefused"]),
    ("hostile texts", &["BucketRefused"]),
];

/// When the alerts are looked at, in minutes of the test's own clock: longer than any rule waits.
const LATER: i64 = 150;

/// Every expression of the dashboard.
fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&shipped("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().replace("$instance", ".*").replace("$cluster", ".*"))
        .collect()
}

#[test]
fn prometheus_reads_the_dashboards_expressions() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: no promtool on PATH (apt-get install prometheus)");
        return;
    }
    let rules = dashboard_expressions().into_iter().enumerate();
    let rules: Vec<Value> = rules.map(|(at, expr)| json!({ "record": format!("panel:{at}"), "expr": expr })).collect();
    let scene = tempfile::tempdir().unwrap();
    let file = scene.path().join("rules.yml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    let checked = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn alerts_fire_for_what_was_printed_in_each_situation() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: no promtool on PATH (apt-get install prometheus)");
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let raised: BTreeMap<_, _> = RAISED.into_iter().collect();
    let names: BTreeSet<_> = situations().iter().map(|(name, _)| *name).collect();
    assert!(raised.keys().all(|name| names.contains(name)), "{raised:?}");
    let mut tests: Vec<Value> = situations()
        .iter()
        .map(|(name, report)| test(name, &series(report), raised.get(name).copied().unwrap_or_default()))
        .collect();
    tests.push(losing());
    tests.push(silent());
    let suite =
        json!({ "rule_files": [folder().join("prometheus-alerts.yml")], "evaluation_interval": "1m", "tests": tests });
    // JSON is YAML.
    let file = scene.path().join("suite.yml");
    fs::write(&file, suite.to_string()).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let checked =
        Command::new("promtool").args(["check", "rules"]).arg(folder().join("prometheus-alerts.yml")).output();
    assert!(checked.unwrap().status.success());
}

/// What was printed, as series that stay as they are. Moments are moved into the test's clock, which begins at 0.
fn series(report: &pgbackrest_guard::status::Report) -> Vec<(String, String)> {
    let made = report.extra.made_at.map_or(0, jiff::Timestamp::as_second);
    let mut series = Vec::new();
    for (name, family) in families(report) {
        for sample in family.samples {
            let labels = sample.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect::<Vec<_>>();
            let of = format!("{name}{{{}}}", labels.join(","));
            let values = if name.ends_with("report_timestamp_seconds") {
                format!("0+60x{LATER}")
            } else if name.ends_with("_timestamp_seconds") {
                format!("{}x{LATER}", moved(sample.value, made))
            } else {
                format!("{}x{LATER}", sample.value)
            };
            series.push((of, values));
        }
    }
    series
}

/// A moment in the test's clock.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have 31 bits")]
fn moved(moment: f64, made: i64) -> f64 {
    moment - made as f64 + (LATER * 60) as f64
}

fn test(name: &str, series: &[(String, String)], raised: &[&str]) -> Value {
    let expression = "sum by (alertname) (ALERTS{alertstate=\"firing\"})";
    let labels = raised.iter().map(|raised| format!("{{alertname=\"PgbackrestGuard{raised}\"}}"));
    let samples: Vec<Value> = labels.map(|labels| json!({ "labels": labels, "value": 1 })).collect();
    let series = series.iter().map(|(series, values)| json!({ "series": series, "values": values }));
    json!({
        "name": name,
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "promql_expr_test": [{ "expr": expression, "eval_time": format!("{LATER}m"), "exp_samples": samples }],
    })
}

/// A counter of losses that goes up.
fn losing() -> Value {
    let series = [
        (format!("{PREFIX}dropped_total{{}}"), format!("7+1x{LATER}")),
        (format!("{PREFIX}report_timestamp_seconds{{}}"), format!("0+60x{LATER}")),
    ];
    test("losing", &series, &["LosesWal"])
}

/// Metrics that nobody writes any more.
fn silent() -> Value {
    test("silent", &[(format!("{PREFIX}report_timestamp_seconds{{}}"), format!("60x{LATER}"))], &["Silent"])
}
