//! Whether `run` restores a cluster before it starts CMD.
//!
//! A restore that somebody asked for and that can't be done must never end in an empty database: any of its variables on a
//! volume without a cluster means a restore, or an error. On a volume that holds a cluster they mean nothing, because they
//! stay in a container's settings after the restore.

use super::setup::{Reason, screen_bucket, screen_value};
use crate::moment::{NotAMoment, parse_moment};
use std::ffi::OsStr;
use std::fmt::Write as _;

/// The variables that say from where, in the order of [`Asked::from`].
pub const FROM: [&str; 7] = [
    "WAL_RECOVER_FROM_BUCKET",
    "WAL_RECOVER_FROM_ENDPOINT",
    "WAL_RECOVER_FROM_REGION",
    "WAL_RECOVER_FROM_KEY",
    "WAL_RECOVER_FROM_SECRET",
    "WAL_RECOVER_FROM_PATH",
    "WAL_RECOVER_FROM_S3_URI_STYLE",
];
/// The variables that say up to where, in the order of [`Asked::targets`].
pub const TARGETS: [&str; 5] = [
    "WAL_RECOVER_TARGET_TIME",
    "WAL_RECOVER_TARGET_XID",
    "WAL_RECOVER_TARGET_LSN",
    "WAL_RECOVER_TARGET_NAME",
    "WAL_RECOVER_TARGET_IMMEDIATE",
];
/// The shell scripts' names, in the order of [`Asked::scripts`].
pub const SCRIPTS: [&str; 2] = ["POSTGRES_RECOVERY_TARGET_TIME", "POSTGRES_RECOVERY_TARGET_XID"];

/// What is set.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "each as the constant of its name says")]
pub struct Asked<'a> {
    pub from: [Option<&'a OsStr>; 7],
    pub targets: [Option<&'a OsStr>; 5],
    pub scripts: [Option<&'a OsStr>; 2],
    /// Whether a bucket may have the shape of a UUID.
    pub allow_uuid: bool,
}

/// What lies in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// No cluster.
    Empty,
    /// A cluster.
    Cluster,
    /// A copy that a restore has not finished.
    UnderWay,
    /// A copy that our restore has finished, and that was not handed over.
    Restored,
    /// A copy that our restore has not finished, and nothing beside it tells how far it had come.
    CutOff,
    /// A cluster in recovery, by somebody else's wish.
    Recovering,
    /// A copy that does not archive yet, and nothing shows that this container has restored it.
    Copy,
}

/// What is done before CMD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was asked for.
    None,
    /// Something was, and a cluster is there.
    Ignored,
    /// A restore, with the arguments that say up to where.
    Restore(Vec<String>),
    /// Only what comes after a restore.
    HandOver,
}

/// Decides it.
///
/// # Errors
/// When something was asked for that can't be understood, in words that name the variable and no secret.
pub fn recovery(asked: &Asked<'_>, volume: Volume) -> Result<Recovery, String> {
    let all = asked.from.iter().chain(&asked.targets).chain(&asked.scripts);
    let is_asked = all.flatten().next().is_some();
    match (volume, is_asked) {
        (Volume::Empty | Volume::Cluster | Volume::Recovering | Volume::Copy, false) => Ok(Recovery::None),
        (Volume::Cluster, true) => Ok(Recovery::Ignored),
        // The restore needs its variables no longer.
        (Volume::Restored, _) | (Volume::Copy, true) => Ok(Recovery::HandOver),
        (Volume::UnderWay, false) => {
            Err("a restore into it is not finished: set the same WAL_RECOVER_* variables again".to_owned())
        }
        // What it recovers by, the source's configuration, is gone too.
        (Volume::CutOff, _) => {
            let before = if is_asked { "" } else { "set the same WAL_RECOVER_* variables again and " };
            Err(format!(
                "a restore into it was cut off, and the record of how far it got, which was beside it, is gone: \
                 {before}empty the data directory, to restore from the beginning; if the volume also held the folder \
                 above, the restore could have been resumed"
            ))
        }
        (Volume::Recovering, true) => {
            Err("it holds a cluster whose recovery is not finished: unset the WAL_RECOVER_* variables \
                 to let it recover as it is configured, or empty the data directory to restore instead"
                .to_owned())
        }
        (Volume::Empty | Volume::UnderWay, true) => {
            source(asked)?;
            target(asked).map(Recovery::Restore)
        }
    }
}

/// Whether the source can be meant.
fn source(asked: &Asked<'_>) -> Result<(), String> {
    let [bucket, endpoint, region, key, secret, path, style] = asked.from;
    let refused = |name: &str, reason: Reason| format!("{name} is refused: {reason}");
    let bucket = bucket.ok_or("WAL_RECOVER_FROM_BUCKET is not set: it names the bucket to restore from")?;
    screen_bucket(bucket, asked.allow_uuid).map_err(|reason| refused("WAL_RECOVER_FROM_BUCKET", reason))?;
    for (name, value) in FROM.iter().skip(1).zip([endpoint, region, key, secret, path, style]) {
        value.map_or(Ok(()), screen_value).map_err(|reason| refused(name, reason))?;
    }
    if key.is_some() != secret.is_some() {
        let missing = if key.is_some() { "WAL_RECOVER_FROM_SECRET" } else { "WAL_RECOVER_FROM_KEY" };
        return Err(format!("{missing} is not set, but the other half of the key is"));
    }
    if path.is_some_and(|path| !path.to_string_lossy().starts_with('/')) {
        return Err("WAL_RECOVER_FROM_PATH must begin with a slash".to_owned());
    }
    match style.and_then(OsStr::to_str) {
        None | Some("path" | "host") => Ok(()),
        Some(_) => Err("WAL_RECOVER_FROM_S3_URI_STYLE must be path or host".to_owned()),
    }
}

/// The arguments of the target.
fn target(asked: &Asked<'_>) -> Result<Vec<String>, String> {
    let own: Vec<(&str, &OsStr)> =
        TARGETS.iter().zip(asked.targets).filter_map(|(name, value)| Some((*name, value?))).collect();
    let [script_time, script_xid] = asked.scripts;
    let scripts = script_xid.map(|xid| (SCRIPTS[1], xid)).or(script_time.map(|time| (SCRIPTS[0], time)));
    let (name, value) = match (own.as_slice(), scripts) {
        ([one], _) => *one,
        ([], Some(script)) => script,
        ([], None) => {
            let mut text = "no target is set: set one of ".to_owned();
            let _ = write!(text, "{}; WAL_RECOVER_TARGET_TIME=latest is the end of the archive", TARGETS.join(", "));
            return Err(text);
        }
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            return Err(format!("{} are set: keep only one of them", names.join(" and ")));
        }
    };
    screen_value(value).map_err(|reason| format!("{name} is refused: {reason}"))?;
    let text = value.to_string_lossy().into_owned();
    let flag = match name {
        "WAL_RECOVER_TARGET_IMMEDIATE" => {
            let is_on = ["1", "true", "y", "yes", "on"].contains(&text.to_ascii_lowercase().as_str());
            return if is_on { Ok(vec!["immediate".to_owned()]) } else { Err(format!("{name} must be 1 or unset")) };
        }
        "WAL_RECOVER_TARGET_XID" | "POSTGRES_RECOVERY_TARGET_XID" => "--to-xid",
        "WAL_RECOVER_TARGET_LSN" => "--to-lsn",
        "WAL_RECOVER_TARGET_NAME" => "--to-name",
        _ if text.eq_ignore_ascii_case("latest") => return Ok(vec!["latest".to_owned()]),
        _ => {
            let wrong = |why: NotAMoment| format!("{name} is '{}': {why}", text.escape_debug());
            parse_moment(&text).map_err(wrong)?;
            "--to"
        }
    };
    // One word, so that no value can be taken for a flag.
    Ok(vec![format!("{flag}={text}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is set, by the names of variables.
    fn asked<'a>(set: &[(&str, &'a str)]) -> Asked<'a> {
        let value = |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| OsStr::new(*value));
        Asked { from: FROM.map(value), targets: TARGETS.map(value), scripts: SCRIPTS.map(value), allow_uuid: false }
    }

    const BUCKET: (&str, &str) = ("WAL_RECOVER_FROM_BUCKET", "wal");

    #[test]
    fn what_was_asked_for_is_a_restore_or_an_error_and_never_initdb() {
        for name in FROM.iter().chain(&TARGETS).chain(&SCRIPTS) {
            let found = recovery(&asked(&[(name, "1")]), Volume::Empty);
            assert!(found.is_err(), "{name}: {found:?}");
            assert_eq!(recovery(&asked(&[(name, "1")]), Volume::Cluster), Ok(Recovery::Ignored), "{name}");
        }
        assert_eq!(recovery(&asked(&[]), Volume::Empty), Ok(Recovery::None));
        assert_eq!(recovery(&asked(&[]), Volume::Cluster), Ok(Recovery::None));
        for set in [&[][..], &[("WAL_RECOVER_FROM_BUCKET", "")]] {
            assert_eq!(recovery(&asked(set), Volume::Restored), Ok(Recovery::HandOver));
        }
        assert_eq!(recovery(&asked(&[]), Volume::Copy), Ok(Recovery::None), "a person's own");
        assert_eq!(recovery(&asked(&[BUCKET]), Volume::Copy), Ok(Recovery::HandOver));
        assert_eq!(recovery(&asked(&[]), Volume::Recovering), Ok(Recovery::None), "a person's own");
        assert!(recovery(&asked(&[BUCKET]), Volume::Recovering).unwrap_err().contains("unset the WAL_RECOVER_*"));
        let cut_off = |set| recovery(&asked(set), Volume::CutOff).unwrap_err();
        assert!(
            cut_off(&[]).contains("is gone: set the same WAL_RECOVER_* variables again and empty the data directory")
        );
        assert!(cut_off(&[BUCKET]).contains("is gone: empty the data directory"));
        assert!(recovery(&asked(&[]), Volume::UnderWay).unwrap_err().contains("not finished"));
    }

    #[test]
    fn each_target_becomes_its_argument() {
        let table: [(&[(&str, &str)], &str); 8] = [
            (&[("WAL_RECOVER_TARGET_TIME", "2026-11-22T10:00:00Z")], "--to=2026-11-22T10:00:00Z"),
            (&[("WAL_RECOVER_TARGET_TIME", "Latest")], "latest"),
            (&[("WAL_RECOVER_TARGET_XID", "7")], "--to-xid=7"),
            (&[("WAL_RECOVER_TARGET_LSN", "0/7")], "--to-lsn=0/7"),
            (&[("WAL_RECOVER_TARGET_NAME", "--replace")], "--to-name=--replace"),
            (&[("WAL_RECOVER_TARGET_IMMEDIATE", "1")], "immediate"),
            (
                &[("POSTGRES_RECOVERY_TARGET_TIME", "2026-11-22 10:00:00+00"), ("POSTGRES_RECOVERY_TARGET_XID", "9")],
                "--to-xid=9",
            ),
            (
                &[("POSTGRES_RECOVERY_TARGET_XID", "9"), ("WAL_RECOVER_TARGET_TIME", "2026-11-22 10:00:00+00")],
                "--to=2026-11-22 10:00:00+00",
            ),
        ];
        for (set, argument) in table {
            for volume in [Volume::Empty, Volume::UnderWay] {
                let set = [&[BUCKET], set].concat();
                assert_eq!(recovery(&asked(&set), volume), Ok(Recovery::Restore(vec![argument.to_owned()])), "{set:?}");
            }
        }
    }

    #[test]
    fn junk_is_named_by_its_variable_and_secrets_are_not_shown() {
        let time = ("WAL_RECOVER_TARGET_TIME", "latest");
        let table: [(&[(&str, &str)], &str); 10] = [
            (
                &[BUCKET, ("WAL_RECOVER_TARGET_TIME", "2026-11-22 10:00:00")],
                "TARGET_TIME is '2026-11-22 10:00:00': it has no",
            ),
            (
                &[BUCKET, ("POSTGRES_RECOVERY_TARGET_TIME", "yesterday")],
                "RECOVERY_TARGET_TIME is 'yesterday': it is not a time",
            ),
            (
                &[("WAL_RECOVER_FROM_BUCKET", "${{bucket.BUCKET}}"), time],
                "FROM_BUCKET is refused: unresolved-template-ref",
            ),
            (
                &[BUCKET, ("WAL_RECOVER_FROM_SECRET", "a\nb"), ("WAL_RECOVER_FROM_KEY", "k"), time],
                "FROM_SECRET is refused",
            ),
            (&[BUCKET, ("WAL_RECOVER_FROM_KEY", "k"), time], "WAL_RECOVER_FROM_SECRET is not set"),
            (&[BUCKET, ("WAL_RECOVER_FROM_PATH", "a"), time], "begin with a slash"),
            (&[BUCKET, ("WAL_RECOVER_FROM_S3_URI_STYLE", "a"), time], "must be path or host"),
            (&[BUCKET, ("WAL_RECOVER_TARGET_NAME", "a\nb")], "control-character"),
            (&[BUCKET, ("WAL_RECOVER_TARGET_XID", "1"), time], "TARGET_TIME and WAL_RECOVER_TARGET_XID are set"),
            (&[BUCKET, ("WAL_RECOVER_TARGET_IMMEDIATE", "0")], "must be 1 or unset"),
        ];
        for (set, words) in table {
            let why = recovery(&asked(set), Volume::Empty).unwrap_err();
            assert!(why.contains(words) && !why.contains("a\nb"), "{set:?}: {why}");
        }
    }
}
