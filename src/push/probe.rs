//! A deleted bucket told from a missing stanza.
//!
//! When `archive.info` can't be found, pgBackRest reports the same for both: an object of a bucket that does not exist is
//! a missing file to it. The first request of `pgbackrest info` is a listing, whose answer shows `NoSuchBucket` (src/
//! command/info/info.c, 2.45 to 2.59). It is asked anew for each file: a bucket may have been made again since.

use super::attempt;
use super::context::Context;
use super::progress::Progress;
use crate::pgbackrest::Failure;
use std::time::Duration;

/// Characters of a message.
const SHOWN: usize = 300;
/// The least time that `info` is given.
const LEAST: Duration = Duration::from_secs(5);

/// Corrects the class of each repository that seems to lack its stanza and in truth is gone.
pub(super) fn ask(context: &Context, failure: &mut Failure) {
    let limit = context.request.push.timeout.value.duration().max(context.started.elapsed() + LEAST);
    let progress = Progress::of(context);
    match context.client.listing(None, attempt::watched(context, &progress, limit)) {
        Ok(listing) => failure.correct_by(&listing),
        Err(why) => {
            tracing::warn!("no listing shows whether the stanza is missing: {}", why.shown(SHOWN));
            failure.without_a_listing(&why);
        }
    }
}
