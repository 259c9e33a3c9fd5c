//! A deleted bucket told from a missing stanza, before anybody is advised.
//!
//! When `archive.info` can't be found pgBackRest reports the same for both. The first request of `pgbackrest info` is a
//! listing, whose answer shows `NoSuchBucket` (src/command/info/info.c, 2.45 to 2.60).

use super::attempt::Context;
use crate::pgbackrest::{Failure, Watch};
use std::time::Duration;

/// What `info` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Corrects the class of each repository that seems to lack its stanza and in truth is gone.
pub(super) fn ask(context: &Context, failure: &mut Failure) {
    if failure.lacks_a_stanza() {
        let watch = Watch::within(LIMIT).and_signals(&context.signals);
        match context.client.listing(context.repository(), watch) {
            Ok(listing) => failure.correct_by(&listing),
            Err(why) => failure.without_a_listing(&why),
        }
    }
}
