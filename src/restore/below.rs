//! A repository that is known by the folder above it: each cluster of a bucket has a folder of its own, `cluster-…`.

use super::MESSAGE_LENGTH;
use crate::pgbackrest::{Client, NoListing, Watch};
use crate::settings::{CommonSettings, Environment};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// How long a listing may take.
const LIMIT: Duration = Duration::from_mins(2);
/// What the name of such a folder begins with.
const PREFIX: &str = "cluster-";

/// The environment with the path of the repository: `base`, if it holds the stanza's backups, else its only cluster's folder.
///
/// # Errors
/// When that can't be told, in one line.
pub(super) fn below(common: &CommonSettings, environment: &Environment, base: &str) -> Result<Environment, String> {
    let at = |path: &str| {
        let own: (OsString, OsString) = ("PGBACKREST_REPO1_PATH".into(), path.into());
        let all = environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain([own]);
        all.collect::<Environment>()
    };
    let here = at(base);
    let client = common.client(&here, Path::new("/"));
    if !names(&client, &format!("backup/{}", common.stanza.value))?.is_empty() {
        return Ok(here);
    }
    let mut clusters: Vec<String> = names(&client, "")?.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
    match (clusters.pop(), clusters.is_empty()) {
        (Some(only), true) => Ok(at(&format!("{}/{only}", base.trim_end_matches('/')))),
        (Some(last), false) => {
            clusters.push(last);
            let known = clusters.join(", ");
            Err(format!("{base} holds several clusters ({known}): name one with WAL_RECOVER_FROM_PATH={base}/CLUSTER"))
        }
        (None, _) => Err(format!("{base} holds no backups of the stanza {}", common.stanza.value)),
    }
}

fn names(client: &Client, folder: &str) -> Result<Vec<String>, String> {
    let listed = client.list(1, folder, Watch::within(LIMIT));
    match listed {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(NoListing::Failed(failure)) => Err(failure.shown(MESSAGE_LENGTH)),
        Err(NoListing::TooLong) => Err("the listing of the repository is too long".to_owned()),
    }
}
