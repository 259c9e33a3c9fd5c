//! The ledger's state, as its JSON gives it.

use pgbackrest_guard::ledger::gaps::{Cause, Loss};
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::{SegmentName, Timeline, WalFile};

pub(super) fn state(bytes: &[u8]) {
    let Ok(mut state) = serde_json::from_slice::<State>(bytes) else { return };
    let again = serde_json::to_vec(&state).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
    assert_eq!(again.as_ref(), Some(&state), "what is written is what is read");

    // Whatever it says: a loss that is recorded is on record, and one that is healed is not.
    let size = state.segment_size();
    for gap in state.gaps.iter() {
        let _ = (gap.segments(size), gap.holds(gap.first, gap.partial, size));
    }
    let segment = SegmentName::from_number(Timeline(1), 0x1234, size).expect("a segment");
    let loss = Loss { segment, partial: false, class: Class::Gone, cause: Cause::InstantDrop, s3_code: None, at: 9 };
    state.gaps.record(&loss, size);
    assert!(state.gaps.open_gap_of(segment, false, size).is_some(), "a loss that was recorded: {state:?}");
    // Two gaps that hold the same segment are no state that a program makes.
    while state.gaps.heal(&WalFile::Segment(segment), 10, size) {}
    assert!(state.gaps.open_gap_of(segment, false, size).is_none(), "a loss that was healed: {state:?}");
}
