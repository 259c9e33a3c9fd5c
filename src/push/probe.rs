//! A deleted bucket told from a missing stanza.
//!
//! When `archive.info` can't be found, pgBackRest reports the same for both: an object of a bucket that does not exist is
//! a missing file to it. The first request of `pgbackrest info` is a listing, whose answer shows `NoSuchBucket` (src/
//! command/info/info.c, 2.45 to 2.59). It is asked at most once a minute, and the ledger remembers the answer.

use super::attempt;
use super::context::Context;
use crate::ledger::state::Probe;
use crate::pgbackrest::Failure;
use std::time::Duration;

/// How long an answer is good for, in seconds.
const REMEMBERED: i64 = 60;
/// The least time that `info` is given.
const LEAST: Duration = Duration::from_secs(5);

/// Corrects the class of each repository that seems to lack its stanza and in truth is gone.
pub(super) fn ask(context: &mut Context, failure: &mut Failure) {
    let probe = remembered(context).unwrap_or_else(|| fresh(context));
    failure.correct_gone(&probe.gone, probe.asked);
}

fn remembered(context: &Context) -> Option<Probe> {
    let age = |probe: &Probe| context.now() - probe.at;
    context.state.probe.clone().filter(|probe| (0..REMEMBERED).contains(&age(probe)))
}

fn fresh(context: &mut Context) -> Probe {
    let limit = context.request.push.timeout.value.duration().max(context.started.elapsed() + LEAST);
    let answer = context.client.gone(None, attempt::watched(context, limit));
    if answer.is_none() {
        tracing::warn!("pgbackrest info gave no answer, so a missing archive.info counts as a missing stanza");
    }
    let (gone, asked) = answer.unwrap_or_default();
    let probe = Probe { at: context.now(), gone, asked };
    let noted = probe.clone();
    context.update(|state| state.probe = Some(noted));
    probe
}
