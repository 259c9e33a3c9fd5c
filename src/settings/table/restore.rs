//! The settings of `pgbackrest-guard restore`.

use super::Program::Restore;
use super::{Declaration, Declared, Fallback, Group};
use crate::settings::value::typed::POSTGRES_UNIT;

settings! {
    name: "restore", heading: "A restore", note: "", users: &[Restore];

    PITR_RECOVERY_CHECKPOINT_TIMEOUT: String = POSTGRES_UNIT, {
        default: Fallback::Value("15min"),
        example: "30s",
        help: "checkpoint_timeout of the server that replays",
        more: "Longer is faster, but an interrupted replay has to go back further.",
    }

    PITR_RECOVERY_MAX_WAL_SIZE: String = POSTGRES_UNIT, {
        default: Fallback::Value("1GB"),
        example: "512MB",
        help: "max_wal_size of the server that replays",
        more: "That much WAL is on the volume during the replay.",
    }
}
