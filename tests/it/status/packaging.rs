//! What is shipped for monitoring names only what the programs have, and the alerts fire when they should.

use super::exposition::{Families, parse};
use super::situations::situations;
use pgbackrest_guard::log::Fields;
use pgbackrest_guard::status::prometheus;
use serde_json::Value;
use std::collections::BTreeSet;
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
fn the_page_names_the_fields_of_a_log_line_and_no_other() {
    let page = shipped("../../docs/monitoring.md");
    let (_, section) = page.split_once("## The log as JSON").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let named: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let fields = ["timestamp", "level", "program", "message"].into_iter().chain(Fields::NAMES).collect();
    assert_eq!(named, fields);
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
