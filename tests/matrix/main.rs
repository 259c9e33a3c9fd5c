//! `make matrix`: the live tests on every pair of PostgreSQL and pgBackRest that people run.
//!
//! PostgreSQL 13 to 18, pgBackRest of three Debian releases: what is not installed here is laid below a folder of its own
//! ([`tools`]), and nothing is installed for the whole machine. Each pair runs the tests of `tests/it/live/` as they are: the
//! laboratory takes PostgreSQL's programs from `LAB_POSTGRES`, and pgBackRest is the first on `PATH`. The last lines are a
//! table in Markdown, PostgreSQL down and pgBackRest across, and the names of the tests that failed.
//!
//! Words on the command line choose: `18x2.60` a pair, `18` or `2.60` every pair with it, anything else a filter on the
//! names of tests (`live::gone`). Without a filter it is what `make test` runs of them; `live::` is all, with those of
//! `make long`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod tools;

use std::process::{Command, Stdio};
use tools::{BACKREST, POSTGRES, PgBackRest, PostgreSql, Tools};

/// Where every pair is run, a job each.
const WORKFLOW: &str = include_str!("../../.github/workflows/ci.yml");

/// One cell of the table.
struct Cell {
    postgres: &'static str,
    backrest: &'static str,
    result: String,
    failed: Vec<String>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (pairs, filters) = chosen(&words);
    let tools = Tools::new();
    let mut cells = Vec::new();
    for (postgres, backrest) in pairs {
        let programs = tools.postgres(postgres);
        let (folder, version) = (tools.backrest(backrest), tools.versions(postgres, backrest));
        println!("== {version}");
        let cell = run(postgres, backrest, &programs, &folder, &filters);
        println!("   {}", cell.result);
        for name in &cell.failed {
            println!("   failed: {name}");
        }
        cells.push(cell);
    }
    print(&cells);
    assert!(cells.iter().all(|cell| cell.failed.is_empty()), "not everything passed: see above");
}

/// The pairs that were asked for, of those that pgBackRest knows, and the filters on tests.
fn chosen(words: &[String]) -> (Vec<(&'static PostgreSql, &'static PgBackRest)>, Vec<&str>) {
    let all = POSTGRES.iter().flat_map(|postgres| BACKREST.iter().map(move |backrest| (postgres, backrest)));
    let all: Vec<_> = all.filter(|(postgres, backrest)| postgres.major <= backrest.newest_postgres).collect();
    for (postgres, backrest) in &all {
        let pair = format!("{}x{}", postgres.name, backrest.name);
        assert!(WORKFLOW.contains(&pair), ".github/workflows/ci.yml does not run {pair}");
    }
    let names = |postgres: &PostgreSql, backrest: &PgBackRest| {
        [format!("{}x{}", postgres.name, backrest.name), postgres.name.to_owned(), backrest.name.to_owned()]
    };
    let is_pair = |word: &&String| all.iter().any(|(postgres, backrest)| names(postgres, backrest).contains(word));
    let (wanted, filters): (Vec<&String>, Vec<&String>) = words.iter().partition(is_pair);
    let pairs = all.iter().filter(|(postgres, backrest)| {
        wanted.is_empty() || names(postgres, backrest).iter().any(|name| wanted.contains(&name))
    });
    (pairs.copied().collect(), filters.into_iter().map(String::as_str).collect())
}

/// Runs the live tests with one pair.
fn run(
    postgres: &'static PostgreSql,
    backrest: &'static PgBackRest,
    programs: &std::path::Path,
    folder: &std::path::Path,
    filters: &[&str],
) -> Cell {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut nextest = Command::new("cargo");
    nextest.args(["nextest", "run", "--workspace", "--test", "it", "--no-fail-fast", "--status-level", "none"]);
    nextest.args(["--final-status-level", "fail", "--failure-output", "final", "-E"]);
    let names: Vec<String> = filters.iter().map(|filter| format!("test({filter})")).collect();
    nextest.arg(if names.is_empty() { "test(/^live::/) and not test(::long_)".to_owned() } else { names.join(" or ") });
    nextest.env("PATH", path).env("LAB_POSTGRES", programs).stdin(Stdio::null()).stdout(Stdio::null());
    let output = nextest.output().unwrap_or_else(|error| panic!("cargo nextest can't be run: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    let summary = text.lines().rfind(|line| line.trim_start().starts_with("Summary"));
    let Some(summary) = summary else {
        eprintln!("{text}");
        panic!("no test was run");
    };
    let mut failed: Vec<String> = text.lines().filter_map(failed_test).collect();
    failed.sort();
    failed.dedup();
    if !failed.is_empty() {
        eprintln!("{text}");
    }
    let result = summary.split_once("tests run: ").map_or("", |(_, rest)| rest);
    Cell { postgres: postgres.name, backrest: backrest.name, result: short(result), failed }
}

/// The name in a line such as `        FAIL [   2.510s] (3/9) pgbackrest-guard::it live::gone::of_a_bucket`.
fn failed_test(line: &str) -> Option<String> {
    let line = line.trim_start();
    let bad = ["FAIL ", "TIMEOUT ", "SIGABRT ", "SIGSEGV ", "SIGKILL "].iter().any(|word| line.starts_with(word));
    bad.then(|| line.rsplit(' ').next().unwrap_or_default().to_owned())
}

/// `140 passed` of `140 passed (3 slow), 500 skipped`.
fn short(result: &str) -> String {
    let kept = result.split(',').filter(|part| !part.contains("skipped"));
    let kept = kept.map(|part| part.split(" (").next().unwrap_or_default().trim().to_owned());
    kept.collect::<Vec<_>>().join(", ")
}

fn print(cells: &[Cell]) {
    let heads: Vec<String> = BACKREST.iter().map(|each| format!("pgBackRest {}", each.name)).collect();
    println!("\n| PostgreSQL | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for postgres in &POSTGRES {
        let row = BACKREST.iter().map(|backrest| {
            let cell = cells.iter().find(|cell| cell.postgres == postgres.name && cell.backrest == backrest.name);
            match cell {
                Some(cell) => cell.result.clone(),
                None if postgres.major > backrest.newest_postgres => "not known to it".to_owned(),
                None => "not run".to_owned(),
            }
        });
        println!("| {} | {} |", postgres.name, row.collect::<Vec<_>>().join(" | "));
    }
    for cell in cells.iter().filter(|cell| !cell.failed.is_empty()) {
        println!("\n{} with {}: {}", cell.postgres, cell.backrest, cell.failed.join(", "));
    }
}
