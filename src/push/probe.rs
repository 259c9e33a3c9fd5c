//! A deleted bucket told from a missing stanza.
//!
//! When `archive.info` can't be found, pgBackRest reports the same for both: an object of a bucket that does not exist is
//! a missing file to it. The first request of `pgbackrest info` is a listing, whose answer shows `NoSuchBucket` (src/
//! command/info/info.c, 2.45 to 2.59). It is asked at most once a minute, and the ledger remembers the answer.

use super::attempt;
use super::context::Context;
use crate::classify::codes::InstantDropCodes;
use crate::classify::{Class, Failure, of_spool};
use crate::ledger::state::Probe;
use crate::pgbackrest::info::{self, Repository};
use crate::pgbackrest::run::Ending;
use std::ffi::OsStr;
use std::time::Duration;

/// How long an answer is good for, in seconds.
const REMEMBERED: i64 = 60;
/// The least time that `info` is given.
const LEAST: Duration = Duration::from_secs(5);

/// Corrects the class of each repository that seems to lack its stanza and in truth is gone.
pub(super) fn ask(context: &mut Context, failure: &mut Failure) {
    let probe = remembered(context).unwrap_or_else(|| fresh(context));
    for repository in failure.repositories.iter_mut().filter(|failed| failed.class == Class::StanzaMissing) {
        let code = match repository.repository {
            Some(key) => probe.gone.get(&key),
            // Which one failed is not known, so all must be gone.
            None => probe.gone.values().next().filter(|_| probe.gone.len() == probe.asked),
        };
        if let Some(code) = code {
            repository.class = Class::Gone;
            repository.s3_code = Some(code.clone());
        }
    }
}

fn remembered(context: &Context) -> Option<Probe> {
    let age = |probe: &Probe| context.now() - probe.at;
    context.state.probe.clone().filter(|probe| (0..REMEMBERED).contains(&age(probe)))
}

fn fresh(context: &mut Context) -> Probe {
    let limit = context.request.push.timeout.value.duration().max(context.started.elapsed() + LEAST);
    let arguments = ["info", "--output=json"].map(OsStr::new);
    let ended = attempt::watched(context, context.caller.command(arguments), limit);
    let answer = match ended.ending {
        Ending::Exited(0) => info::repositories(&ended.stdout, &context.request.common.stanza.value),
        Ending::Exited(_) | Ending::Signaled(_) | Ending::Stopped(_) | Ending::NotStarted(_) => None,
    };
    if answer.is_none() {
        tracing::warn!("pgbackrest info gave no answer, so a missing archive.info counts as a missing stanza");
    }
    let instant = &context.request.push.instant_drop.value;
    let answer = answer.unwrap_or_default();
    let gone = answer.iter().filter_map(|repository| gone(repository, instant)).collect();
    let probe = Probe { at: context.now(), gone, asked: answer.len() };
    let noted = probe.clone();
    context.update(|state| state.probe = Some(noted));
    probe
}

/// The repository's number and the code that says that it is gone.
fn gone(repository: &Repository, instant: &InstantDropCodes) -> Option<(u32, String)> {
    let failure = of_spool(39, &repository.status.message, instant);
    let code = failure.s3_code().filter(|_| failure.class() == Class::Gone)?;
    Some((repository.key, code.to_owned()))
}
