//! What `status --at` has claimed, held against real restores.

use super::workload::Row;
use super::world::World;
use jiff::Timestamp;
use pgbackrest_guard_lab::{Cluster, PgBackRest};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a recovery may take.
const RECOVERY: Duration = Duration::from_mins(1);

/// An answer of `status --at`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// The moment, in milliseconds since 1970.
    pub(crate) at: i64,
    /// Whether it can be restored; `None`: that is not known.
    pub(crate) restorable: Option<bool>,
    pub(crate) backup: String,
    pub(crate) repository: u64,
    pub(crate) timeline: u64,
    /// Why not.
    pub(crate) reason: String,
}

/// Asks `status` about a moment, in milliseconds since 1970.
pub(crate) fn claim(world: &World, at: i64) -> Option<Claim> {
    let moment = Timestamp::from_millisecond(at).ok()?.to_string();
    let said: serde_json::Value = serde_json::from_slice(&world.status(&["--at", &moment]).stdout).ok()?;
    Some(Claim {
        at,
        restorable: said["restorable"].as_bool(),
        backup: said["backup"].as_str().unwrap_or_default().to_owned(),
        repository: said["repository"].as_u64().unwrap_or(1),
        timeline: said["timeline"].as_u64().unwrap_or(1),
        reason: said["reason"].as_str().unwrap_or_default().to_owned(),
    })
}

/// What a restore has shown of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is so.
    Holds,
    /// It is not so; with what was wrong.
    False(String),
    /// The backup has expired since.
    Expired,
}

/// Restores as a claim says.
pub(crate) fn hold(world: &World, claim: &Claim, rows: &[Row], name: &str) -> Shown {
    let key = u8::try_from(claim.repository).unwrap_or(1);
    if !world.labels(key).contains(&claim.backup) {
        return Shown::Expired;
    }
    let (repository, set) = (format!("--repo={key}"), format!("--set={}", claim.backup));
    let line = format!("--target-timeline={}", claim.timeline);
    match restore(world, name, Some(claim.at), key, &[&repository, &set, &line]) {
        Err(why) => Shown::False(why),
        Ok(restored) => contradiction(&restored, rows, Some(claim.at)).map_or(Shown::Holds, Shown::False),
    }
}

/// Whether a moment that is said not to be can be restored from the newest backup before it, as pgBackRest chooses.
pub(crate) fn can_be(world: &World, at: i64, rows: &[Row], name: &str) -> bool {
    world.repositories().any(|key| {
        let repository = format!("--repo={key}");
        let restored = restore(world, &format!("{name}-{key}"), Some(at), key, &[&repository]);
        restored.is_ok_and(|restored| contradiction(&restored, rows, Some(at)).is_none())
    })
}

/// Whether the end of a repository's archive has every commit that was answered.
pub(crate) fn newest(world: &World, key: u8, rows: &[Row]) -> Option<String> {
    let repository = format!("--repo={key}");
    match restore(world, &format!("newest-{key}"), None, key, &[&repository]) {
        Err(why) => Some(why),
        Ok(restored) => contradiction(&restored, rows, None),
    }
}

/// The rows of a restore to a moment, or to the end, with the WAL of one repository alone.
fn restore(world: &World, name: &str, at: Option<i64>, key: u8, more: &[&str]) -> Result<BTreeSet<i64>, String> {
    let copy = Cluster::builder(&world.lab).name(name);
    let config = world.config_for(&copy, &format!("store-{name}"));
    let target = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    let target = target.map(|at| format!("--target={}", at.strftime("%Y-%m-%d %H:%M:%S%.3f+00")));
    let command = format!("--recovery-option=restore_command={}", world.restore_command(&config, key));
    let mut options: Vec<&str> = more.to_vec();
    options.push(&command);
    if let Some(target) = &target {
        options.extend(["--type=time", "--target-action=promote", target]);
    }
    let answer = recovered(&config, copy, &options);
    let _ = fs::remove_dir_all(world.lab.path().join(name));
    let _ = fs::remove_dir_all(world.lab.path().join(format!("store-{name}")));
    answer
}

fn recovered(
    config: &PgBackRest,
    copy: pgbackrest_guard_lab::ClusterBuilder,
    options: &[&str],
) -> Result<BTreeSet<i64>, String> {
    let copy = config.try_restore(copy.no_archiving(), options);
    let copy = copy.map_err(|said| format!("pgbackrest restore fails: {}", said.lines().next().unwrap_or_default()))?;
    copy.start_recovery();
    if !copy.wait_promoted(RECOVERY) {
        let log = copy.log();
        let last = log.lines().rfind(|line| line.contains("FATAL")).unwrap_or("it does not end").to_owned();
        return Err(format!("the recovery fails: {last}"));
    }
    rows_of(&copy)
}

/// The rows of a server that runs.
pub(crate) fn rows_of(copy: &Cluster) -> Result<BTreeSet<i64>, String> {
    // Before its first second there is no table either.
    if copy.try_sql("SELECT to_regclass('rows') IS NULL")? == "t" {
        return Ok(BTreeSet::new());
    }
    let rows = copy.try_sql("SELECT number FROM rows")?;
    Ok(rows.lines().filter_map(|row| row.trim().parse().ok()).collect())
}

/// What is missing of the rows that were answered until then.
pub(crate) fn lacks(restored: &BTreeSet<i64>, rows: &[Row], until: SystemTime) -> Option<String> {
    let missing =
        rows.iter().filter(|row| row.answered.is_some_and(|at| at <= until) && !restored.contains(&row.number));
    let missing: Vec<i64> = missing.map(|row| row.number).collect();
    let (first, last) = (missing.first()?, missing.last()?);
    Some(format!("{} rows are missing ({first} to {last})", missing.len()))
}

/// What contradicts that these are the rows of a moment; `None` for the end of the archive.
pub(crate) fn contradiction(restored: &BTreeSet<i64>, rows: &[Row], at: Option<i64>) -> Option<String> {
    let moment = at.map(|at| UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0)));
    let by = |time: SystemTime| moment.is_none_or(|moment| time <= moment);
    let missing = rows.iter().filter(|row| row.answered.is_some_and(by) && !restored.contains(&row.number));
    let missing: Vec<i64> = missing.map(|row| row.number).collect();
    let early =
        rows.iter().filter(|row| moment.is_some_and(|moment| row.begun > moment) && restored.contains(&row.number));
    let early: Vec<i64> = early.map(|row| row.number).collect();
    (!missing.is_empty() || !early.is_empty()).then(|| {
        let (first, last) = (missing.first(), missing.last());
        format!("{} rows are missing ({first:?} to {last:?}), {} are too new", missing.len(), early.len())
    })
}

#[test]
fn what_was_answered_before_a_moment_is_missed_and_what_was_begun_after_it_is_too_new() {
    let second = |at: u64| UNIX_EPOCH + Duration::from_secs(at);
    let row =
        |number, begun, answered: Option<u64>| Row { number, begun: second(begun), answered: answered.map(second) };
    let rows = [row(1, 1, Some(2)), row(2, 3, None), row(3, 4, Some(6)), row(4, 7, Some(8))];
    let says = |restored: &[i64], at: Option<i64>| {
        contradiction(&restored.iter().copied().collect(), &rows, at.map(|at| at * 1_000))
    };
    assert_eq!([says(&[1], Some(5)), says(&[1, 2], Some(5)), says(&[1, 2, 3], Some(5))], [None, None, None]);
    assert!(says(&[], Some(5)).is_some_and(|why| why.starts_with("1 rows are missing (Some(1)")));
    assert!(says(&[1, 4], Some(5)).is_some_and(|why| why.ends_with("1 are too new")));
    assert_eq!((says(&[1, 3, 4], None), says(&[1, 3], None).is_some()), (None, true));
    let lacks = |restored: &[i64], until| lacks(&restored.iter().copied().collect(), &rows, second(until));
    assert_eq!([lacks(&[1], 5), lacks(&[1, 3], 6), lacks(&[1, 4], 5)], [None, None, None]);
    assert_eq!(lacks(&[1, 4], 6), Some("1 rows are missing (3 to 3)".to_owned()));
}
