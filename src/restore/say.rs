//! What a restore says: the plan, how far it is, and the proof; for people, or a JSON object a line for programs.
//!
//! On a terminal a bar shows how far it is, elsewhere a line every ten seconds. Reports go to stdout, the rest to stderr.

use super::replay::Proof;
use super::server::Programs;
use super::state::State;
use crate::decide::restore::{Plan, Target, moment};
use crate::sizes;
use crate::wal::Lsn;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// The voice of a restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    json: bool,
}

impl Said {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The plan. `space`: the bytes that it needs, and those that there are.
    pub(super) fn plan(self, plan: &Plan, to: &Path, fetched: Option<u64>, [needed, room]: [u64; 2], dry_run: bool) {
        if self.json {
            let bytes = json!({"fetch": fetched, "needed": needed, "room": room});
            return line(&json!({
                "event": "plan", "dry_run": dry_run, "to": to, "backup": plan.backup, "repository": plan.repository,
                "timeline": plan.timeline, "target": target(&plan.target), "proved": plan.proved, "hole_behind": plan.hole,
                "first_segment": plan.first.to_string(), "segments": plan.segments, "bytes": bytes
            }));
        }
        let fetched = fetched.map_or("unknown".to_owned(), sizes::shown);
        text(&format!(
            "restore {} to {}{}\n  backup    {} in repository {}, {fetched} to fetch\n  replay    from {}, at most \
             {} {}, on timeline {}\n  space     {} needed, {} available\n  archiving off until the copy has a \
             repository path of its own\n{}",
            to.display(),
            plan.target,
            here(&plan.target),
            plan.backup,
            plan.repository,
            plan.first,
            plan.segments,
            if plan.segments == 1 { "segment" } else { "segments" },
            plan.timeline,
            sizes::shown(needed),
            sizes::shown(room),
            if dry_run { "nothing was done (--dry-run)\n" } else { "" }
        ));
    }

    /// What the replay is done with.
    pub(super) fn programs(self, programs: &Programs) {
        if self.json {
            line(&json!({"event": "programs", "folder": programs.folder(), "postgresql": programs.version()}));
        }
    }

    /// A stage begins.
    pub(super) fn stage(self, name: &str) {
        if self.json {
            line(&json!({"event": "stage", "stage": name}));
        }
    }

    /// How far a stage is, out of `total`.
    pub(super) fn progress(self, what: &'static str, total: u64) -> Progress {
        let bar = (!self.json && std::io::stderr().is_terminal()).then(|| {
            let template = if what == "copied" {
                "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
            } else {
                "{msg} [{bar:30}] {pos} of {len} segments, {per_sec}, {eta} left"
            };
            let bar = ProgressBar::new(total).with_message(what);
            ProgressStyle::with_template(template).map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        Progress { what, total, bar, json: self.json, told: Instant::now(), began: Instant::now() }
    }

    /// What was asked for beside what was reached.
    pub(super) fn proof(self, state: &State, proof: &Proof) {
        let last = state.reached.last_commit.map(moment);
        let heartbeat = proof.last_heartbeat.map(moment);
        if self.json {
            return line(&json!({
                "event": "proof", "target": target(&state.wanted.target), "timeline": proof.timeline,
                "lsn": proof.position, "last_commit": last, "last_heartbeat": heartbeat, "new_timeline": proof.new_timeline,
                "words": state.reached.words, "indexes_to_rebuild": proof.to_rebuild
            }));
        }
        text(&format!(
            "asked for {}\nreached   timeline {} up to {}, {}{}{}\n",
            state.wanted.target,
            proof.timeline,
            proof.position,
            last.map_or("no commit was replayed".to_owned(), |at| format!("last commit at {at}")),
            heartbeat.map_or(String::new(), |at| format!("\n          the watcher's last heartbeat at {at}")),
            state.reached.words.as_ref().map_or(String::new(), |words| format!("\n          {words}"))
        ));
    }

    /// It is done.
    pub(super) fn finished(self, to: &Path, programs: &Programs) {
        if self.json {
            return line(&json!({"event": "done", "to": to}));
        }
        let start = programs.path("pg_ctl");
        text(&format!(
            "{} is restored, proved and stopped; it archives nothing. To start it: {} start -D {}\n",
            to.display(),
            start.display(),
            to.display()
        ));
    }

    /// It has not come to its end.
    pub(super) fn end(self, event: &str, kind: &str, why: &str) {
        if self.json {
            line(&json!({"event": event, "kind": kind, "why": why}));
        }
    }
}

/// A target for programs.
fn target(target: &Target) -> Value {
    match target {
        Target::Time(at) => json!({"time": moment(*at)}),
        Target::Lsn(Lsn(_)) | Target::Xid(_) | Target::Name(_) => serde_json::to_value(target).unwrap_or_default(),
        Target::Latest => json!("latest"),
        Target::Immediate => json!("immediate"),
    }
}

/// A moment as this machine's clocks show it, where that is not UTC.
fn here(target: &Target) -> String {
    let zoned = match target {
        Target::Time(at) => Timestamp::from_microsecond(*at).ok().map(|at| at.to_zoned(TimeZone::system())),
        _ => None,
    };
    let zoned = zoned.filter(|zoned| !zoned.offset().is_zero());
    zoned.map_or(String::new(), |zoned| format!(" (local time {})", zoned.strftime("%Y-%m-%d %H:%M:%S%.f %:z")))
}

fn line(value: &Value) {
    text(&format!("{value}\n"));
}

fn text(text: &str) {
    // A reader that has gone away has read enough.
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// How far a stage is.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    json: bool,
    told: Instant,
    began: Instant,
}

impl Progress {
    /// So far.
    pub(super) fn at(&mut self, done: u64) {
        // What is counted may be more than what was known before: files of the protocol, segments that came later.
        let done = done.min(self.total);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
        if self.bar.is_some() || self.told.elapsed() < INTERVAL {
            return;
        }
        self.told = Instant::now();
        let seconds = self.began.elapsed().as_secs().max(1);
        let rate = done / seconds;
        let left = (self.total - done).checked_div(rate);
        if self.json {
            return line(&json!({
                "event": "progress", "what": self.what, "done": done, "total": self.total, "per_second": rate, "seconds_left": left
            }));
        }
        let left = left.map_or("unknown".to_owned(), |left| format!("{left} s"));
        let (done, total, rate) = if self.what == "copied" {
            (sizes::shown(done), sizes::shown(self.total), sizes::shown(rate))
        } else {
            (done.to_string(), format!("{} segments", self.total), rate.to_string())
        };
        tracing::info!("{} {done} of {total}, {rate}/s, {left} left", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
