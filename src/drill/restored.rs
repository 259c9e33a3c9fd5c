//! What a restore says of itself, by the events that it prints, and what its end means for a drill.

use super::process::{self, Ran, SIGNAL};
use super::sandbox::last_line;
use super::stages::Found;
use crate::drill_record::Verdict;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What the restore has said.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) backup: Option<String>,
    pub(super) repository: Option<u32>,
    pub(super) bytes: Option<u64>,
    /// Whether WAL is missing behind the end that was restored to.
    pub(super) hole: bool,
    /// The newest commit that was replayed, as an RFC 3339 time.
    pub(super) reached: Option<String>,
    /// The newest heartbeat that was replayed, as an RFC 3339 time.
    pub(super) heartbeat: Option<String>,
    /// PostgreSQL's words on where it stopped.
    pub(super) words: Option<String>,
    /// Indexes that are to be rebuilt; `None` where nobody can tell.
    pub(super) to_rebuild: Option<Vec<String>>,
    /// The folder of PostgreSQL's programs.
    pub(super) programs: Option<PathBuf>,
    /// What its server calls its version.
    pub(super) postgresql: Option<String>,
}

impl Restored {
    /// Out of its events.
    pub(super) fn of(events: &[Value]) -> Self {
        let find = |name: &str| events.iter().rev().find(|event| event["event"] == name);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (plan, proof, programs) = (find("plan"), find("proof"), find("programs"));
        let strings = |list: &Vec<Value>| list.iter().filter_map(text).collect();
        Self {
            backup: plan.and_then(|plan| text(&plan["backup"])),
            repository: plan.and_then(|plan| plan["repository"].as_u64()?.try_into().ok()),
            bytes: plan.and_then(|plan| plan.pointer("/bytes/needed")?.as_u64()),
            hole: plan.is_some_and(|plan| plan["hole_behind"] == true),
            reached: proof.and_then(|proof| text(&proof["last_commit"])),
            heartbeat: proof.and_then(|proof| text(&proof["last_heartbeat"])),
            words: proof.and_then(|proof| text(&proof["words"])),
            to_rebuild: proof.and_then(|proof| proof["indexes_to_rebuild"].as_array().map(strings)),
            programs: programs.and_then(|programs| text(&programs["folder"])).map(PathBuf::from),
            postgresql: programs.and_then(|programs| text(&programs["postgresql"])),
        }
    }

    /// Whether the end that was restored to is that of what was archived.
    pub(super) fn end(&self) -> Found {
        if self.hole {
            (Verdict::Failed, "WAL is missing after it: what was written later can't be restored".to_owned())
        } else {
            (Verdict::Passed, "no WAL is missing up to the end of the archive".to_owned())
        }
    }

    /// How long before a moment, in seconds since 1970, the newest commit or heartbeat is that came back, in seconds: what
    /// a loss of the origin would have cost then, at most. A heartbeat shows that whatever was committed before it is there.
    pub(super) fn rpo(&self, at: i64) -> Option<u64> {
        let times = [&self.reached, &self.heartbeat].into_iter().flatten();
        let newest = times.filter_map(|time| time.parse::<jiff::Timestamp>().ok()).max()?;
        Some(at.saturating_sub(newest.as_second()).max(0).unsigned_abs())
    }

    /// The same as a stage; `None` where nothing that came back has a time.
    pub(super) fn loss(&self, at: i64) -> Option<Found> {
        let seconds = self.rpo(at)?;
        let [commit, heartbeat] = [&self.reached, &self.heartbeat].map(|time| time.as_deref().unwrap_or("none"));
        let words = format!(
            "losing the origin would have cost at most {seconds} s: newest commit {commit}, newest heartbeat \
             {heartbeat}"
        );
        Some((Verdict::Passed, words))
    }

    /// Whether its indexes are sorted as this machine's libraries sort.
    pub(super) fn collations(&self) -> Found {
        match &self.to_rebuild {
            None => (Verdict::Unverified, "collation versions could not be compared".to_owned()),
            Some(indexes) if indexes.is_empty() => {
                (Verdict::Passed, "every index was built with this machine's collation versions".to_owned())
            }
            Some(indexes) => (Verdict::Failed, format!("rebuild these indexes: {}", indexes.join(", "))),
        }
    }
}

/// The events of a restore: an object a line, among lines for people.
pub(super) fn events(log: &Path) -> Vec<Value> {
    process::words(log).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a restore that did not come to its end means: what is claimed is not there, or nobody can tell.
pub(super) fn unclear(ran: &Ran, events: &[Value]) -> Found {
    let last = events.iter().rev().find(|event| event["event"] == "refused" || event["event"] == "failed");
    let why = last.and_then(|event| event["why"].as_str()).unwrap_or("the restore gives no reason");
    let kind = last.and_then(|event| event["kind"].as_str()).unwrap_or_default();
    match ran {
        Ran::Told => (Verdict::Unverified, SIGNAL.to_owned()),
        Ran::NotStarted(error) => (Verdict::Unverified, format!("the restore can't be started: {error}")),
        Ran::Killed(signal) => (Verdict::Unverified, format!("the restore was ended by signal {signal}")),
        Ran::Ended(_) | Ran::OutOfTime => {
            let verdict =
                if ["target", "replay", "damaged"].contains(&kind) { Verdict::Failed } else { Verdict::Unverified };
            (verdict, last_line(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_could_not_be_compared_is_not_green() {
        let of = |proof: Value| Restored::of(&[json!({"event": "plan"}), proof]).collations().0;
        assert_eq!(of(json!({"event": "proof", "indexes_to_rebuild": []})), Verdict::Passed);
        assert_eq!(of(json!({"event": "proof", "indexes_to_rebuild": ["app.i"]})), Verdict::Failed);
        assert_eq!(of(json!({"event": "proof", "indexes_to_rebuild": null})), Verdict::Unverified);
        assert_eq!(of(json!({"event": "done"})), Verdict::Unverified);
    }

    #[test]
    fn a_heartbeat_shows_how_much_an_idle_cluster_would_have_lost() {
        let of = |commit: Value, heartbeat: Value| {
            Restored::of(&[json!({"event": "proof", "last_commit": commit, "last_heartbeat": heartbeat})])
        };
        let [early, late] = ["2026-11-22T10:00:00.9Z", "2026-11-22T10:00:30Z"].map(|time| json!(time));
        let at = 1_795_341_600 + 45;
        for (commit, heartbeat, expected) in [
            (early.clone(), late.clone(), Some(15)),
            (late, early.clone(), Some(15)),
            (early, Value::Null, Some(45)),
            (Value::Null, json!("2026-11-22T10:01:00Z"), Some(0)),
            (Value::Null, Value::Null, None),
        ] {
            assert_eq!(of(commit, heartbeat).rpo(at), expected);
        }
        assert_eq!(of(Value::Null, Value::Null).loss(at), None);
    }

    #[test]
    fn only_a_target_that_is_not_there_is_a_failure() {
        let of = |ran: &Ran, kind: &str| unclear(ran, &[json!({"event": "failed", "kind": kind, "why": "x"})]).0;
        for (kind, expected) in [
            ("target", Verdict::Failed),
            ("replay", Verdict::Failed),
            ("damaged", Verdict::Failed),
            ("interrupted", Verdict::Unverified),
            ("place", Verdict::Unverified),
            ("", Verdict::Unverified),
        ] {
            assert_eq!(of(&Ran::Ended(1), kind), expected, "{kind}");
        }
        assert_eq!(of(&Ran::Told, "replay"), Verdict::Unverified);
        assert_eq!(of(&Ran::Killed(9), "replay"), Verdict::Unverified);
    }
}
