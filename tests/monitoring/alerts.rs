//! promtool, Prometheus' own checker, on the dashboard's expressions and on the alert rules.
//!
//! What is printed in each situation of tests/it/status becomes series, and the rules must fire for it as they should.

use super::exposition::{Families, parse};
use super::situations::situations;
use super::{folder, program, shipped};
use pgbackrest_guard::status::prometheus;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

const PREFIX: &str = "pgbackrest_guard_";

fn families(report: &pgbackrest_guard::status::Report) -> Families {
    parse(&prometheus(report)).unwrap()
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
    let rules = dashboard_expressions().into_iter().enumerate();
    let rules: Vec<Value> = rules.map(|(at, expr)| json!({ "record": format!("panel:{at}"), "expr": expr })).collect();
    let scene = tempfile::tempdir().unwrap();
    let file = scene.path().join("rules.yml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    let checked = Command::new(program("promtool")).args(["check", "rules"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn alerts_fire_for_what_was_printed_in_each_situation() {
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
    let output = Command::new(program("promtool")).args(["test", "rules"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let checked =
        Command::new(program("promtool")).args(["check", "rules"]).arg(folder().join("prometheus-alerts.yml")).output();
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
