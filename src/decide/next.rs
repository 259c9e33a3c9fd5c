//! What `pgbackrest-guard` alone says: where this machine stands, and the one thing to do next.
//!
//! The first obstacle on the way from nothing to a cluster that is archived and watched is named; what comes after it may
//! look different once it is out of the way.

use super::check::{self, ServerSettings};
use crate::verdict::Verdict;

/// The cluster that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// None was found.
    Missing,
    /// Which one is not clear, for this reason.
    Unclear(String),
    /// It belongs to another user: what to do about that.
    Foreign(String),
    /// This one, by its name or its path.
    Found(String),
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// It does not run.
    Down,
    /// It runs and gave this instead of an answer.
    Silent(String),
    /// Its settings.
    Answers(ServerSettings),
}

/// What is known of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The cluster.
    pub cluster: Cluster,
    /// Whether pgBackRest's configuration names a repository; `None` where it can't be read.
    pub has_repository: Option<bool>,
    /// Whether archiving is switched off by an empty bucket.
    pub switched_off: bool,
    /// The server.
    pub server: Server,
    /// Whether a watcher runs.
    pub is_watched: bool,
    /// The unit that starts a watcher for this cluster, where one is named after it.
    pub unit: Option<String>,
    /// The verdict of `status`, and its first reason.
    pub verdict: (Verdict, Option<String>),
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Where things stand, one sentence.
    pub seen: String,
    /// What to do, in this order.
    pub next: Vec<String>,
}

impl Advice {
    fn new<const N: usize>(seen: impl Into<String>, next: [&str; N]) -> Self {
        Self { seen: seen.into(), next: next.map(str::to_owned).into() }
    }
}

/// What to say first.
#[must_use]
pub fn advice(facts: &Facts) -> Advice {
    unusable_cluster(&facts.cluster)
        .or_else(|| unconfigured(facts))
        .or_else(|| not_archiving(&facts.server))
        .or_else(|| unwatched(facts))
        .unwrap_or_else(|| standing(facts))
}

fn unusable_cluster(cluster: &Cluster) -> Option<Advice> {
    match cluster {
        Cluster::Missing => Some(Advice::new(
            "no PostgreSQL data directory was found",
            ["name it: pgbackrest-guard status --pgdata=DIR, or set PGDATA", "a new installation: docs/quick-start.md"],
        )),
        Cluster::Unclear(why) => {
            Some(Advice::new(why.clone(), ["name one: pgbackrest-guard status --cluster=15/main"]))
        }
        Cluster::Foreign(to_do) => {
            Some(Advice { seen: "this cluster belongs to another user".to_owned(), next: vec![to_do.clone()] })
        }
        Cluster::Found(_) => None,
    }
}

fn unconfigured(facts: &Facts) -> Option<Advice> {
    match facts.has_repository {
        _ if facts.switched_off => Some(Advice::new(
            "archiving is switched off: WAL_ARCHIVE_BUCKET is empty",
            ["to archive: set WAL_ARCHIVE_BUCKET, then run pgbackrest-guard setup"],
        )),
        None => Some(Advice::new(
            "pgBackRest's configuration can't be read",
            ["make it readable for this user, or name the file with PGBACKREST_CONFIG", "then: pgbackrest-guard check"],
        )),
        Some(false) => Some(Advice::new(
            "pgBackRest has no repository configured",
            [
                "configure repo1-* in /etc/pgbackrest.conf (docs/quick-start.md),",
                "or set WAL_ARCHIVE_* and try: pgbackrest-guard setup --dry-run",
            ],
        )),
        Some(true) => None,
    }
}

fn not_archiving(server: &Server) -> Option<Advice> {
    match server {
        Server::Down => {
            Some(Advice::new("PostgreSQL is not running", ["start PostgreSQL, then: pgbackrest-guard check"]))
        }
        Server::Silent(why) => Some(Advice::new(
            why.clone(),
            ["name its socket or port with PGHOST, PGPORT and PGUSER", "then: pgbackrest-guard check"],
        )),
        Server::Answers(settings) => {
            let finding = check::archiving(settings);
            let detail = finding.detail;
            let seen = if detail.starts_with("is ") { format!("archive_command {detail}") } else { detail };
            finding.to_do.map(|to_do| Advice { seen, next: vec![to_do, "then: pgbackrest-guard check".to_owned()] })
        }
    }
}

fn unwatched(facts: &Facts) -> Option<Advice> {
    if facts.is_watched {
        return None;
    }
    let start = facts.unit.as_ref().map_or_else(
        || "run pgbackrest-guard watch under your service manager".to_owned(),
        |unit| format!("sudo systemctl enable --now {unit}"),
    );
    let seen = "WAL is archived, but no watcher runs: nobody takes backups or closes gaps";
    let mut advice = Advice { seen: seen.to_owned(), next: vec![start] };
    if facts.verdict.0 == Verdict::Critical {
        let reason = facts.verdict.1.as_deref().unwrap_or("critical");
        advice.next.push(format!("then: pgbackrest-guard status ({reason})"));
    }
    Some(advice)
}

fn standing(facts: &Facts) -> Advice {
    let (verdict, reason) = &facts.verdict;
    if *verdict == Verdict::Ok {
        return Advice::new(
            "all is well: pgbackrest-guard archives WAL, and a watcher is running",
            [
                "pgbackrest-guard check follows one WAL segment to the repository and back",
                "pgbackrest-guard drill proves a restore",
            ],
        );
    }
    let reason = reason.as_deref().unwrap_or("no reason is known");
    Advice::new(
        format!("{}: {reason}", verdict.as_str()),
        ["pgbackrest-guard status", "by symptom, what it means and what to do: docs/runbook.md"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(command: &str) -> ServerSettings {
        ServerSettings {
            mode: "on".to_owned(),
            command: command.to_owned(),
            library: String::new(),
            restore_command: String::new(),
        }
    }

    fn well() -> Facts {
        Facts {
            cluster: Cluster::Found("15/main".to_owned()),
            has_repository: Some(true),
            switched_off: false,
            server: Server::Answers(settings("pgbackrest-guard-push %p")),
            is_watched: true,
            unit: Some("pgbackrest-guard@15-main".to_owned()),
            verdict: (Verdict::Ok, None),
        }
    }

    #[test]
    fn the_first_obstacle_on_the_way_is_named() {
        let other = Server::Answers(settings("cp %p /tmp"));
        let table: [(Facts, &str, &str); 11] = [
            (Facts { cluster: Cluster::Missing, ..well() }, "no PostgreSQL data directory", "--pgdata"),
            (Facts { cluster: Cluster::Unclear("several".to_owned()), ..well() }, "several", "--cluster"),
            (Facts { cluster: Cluster::Foreign("sudo -u x".to_owned()), ..well() }, "another user", "sudo -u x"),
            (Facts { switched_off: true, ..well() }, "switched off", "setup"),
            (Facts { has_repository: None, ..well() }, "can't be read", "PGBACKREST_CONFIG"),
            (Facts { has_repository: Some(false), server: other.clone(), ..well() }, "no repository", "repo1-"),
            (Facts { server: Server::Down, is_watched: false, ..well() }, "not running", "start PostgreSQL"),
            (Facts { server: Server::Silent("no answer: x".to_owned()), ..well() }, "no answer: x", "PGHOST"),
            (Facts { server: other, is_watched: false, ..well() }, "archive_command is 'cp", "ALTER SYSTEM"),
            (Facts { is_watched: false, ..well() }, "no watcher runs", "enable --now pgbackrest-guard@15-main"),
            (Facts { is_watched: false, unit: None, ..well() }, "no watcher runs", "pgbackrest-guard watch"),
        ];
        for (facts, seen, next) in table {
            let advice = advice(&facts);
            assert!(advice.seen.contains(seen) && advice.next.join("\n").contains(next), "{advice:?}");
            assert!((1..=3).contains(&advice.next.len()), "with a head and a foot at most six lines: {advice:?}");
        }
    }

    #[test]
    fn well_is_said_only_where_status_says_ok() {
        assert!(advice(&well()).seen.starts_with("all is well"));
        for verdict in [Verdict::Warning, Verdict::Critical, Verdict::Unknown] {
            let advice = advice(&Facts { verdict: (verdict, Some("so it is".to_owned())), ..well() });
            assert_eq!(advice.seen, format!("{}: so it is", verdict.as_str()));
        }
        let lost = (Verdict::Critical, Some("2 WAL segments are missing".to_owned()));
        let both = advice(&Facts { is_watched: false, verdict: lost, ..well() });
        assert!(both.next.join("\n").contains("2 WAL segments are missing"), "{both:?}");
    }
}
