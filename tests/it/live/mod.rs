//! Live: everything is real, and nothing stands in for anything: PostgreSQL, pgBackRest, an S3 server over TLS.
//!
//! There are three scenes. `scene.rs`: a cluster that archives by push, and the one question that counts. `get.rs`:
//! recoveries out of an archive, for all `get_*`. `watch.rs`: a cluster with its watcher, for all `watch_*` and
//! `status.rs`. nextest runs three at a time (`.config/nextest.toml`), and with them what is named `live_*` elsewhere.

mod check;
mod docs;
mod drill;
mod drill_finds;
mod drill_killed;
mod drill_loss;
mod drill_origin;
mod get;
mod get_ends;
mod get_handover;
mod get_others;
mod get_outage;
mod gone;
mod handover;
mod handover_record;
mod healthy;
mod kept;
mod one_dead;
mod outage;
mod promotion;
mod queue;
mod recycled;
mod repositories;
mod repository_host;
mod restore;
mod restore_holes;
mod restore_programs;
mod restore_resumed;
mod run;
mod run_recover;
mod scene;
mod setup;
mod small_volume;
mod status;
mod stop;
mod subjects;
mod watch;
mod watch_beside;
mod watch_content;
mod watch_dark;
mod watch_heal_many;
mod watch_owed;
mod watch_repairs;
mod watch_story;
