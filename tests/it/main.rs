//! The integration tests: one file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

// A release build can not be killed at its checkpoints.
#[cfg(debug_assertions)]
mod crash;
mod docs;
mod docs_blocks;
mod full_disk;
mod get_calls;
mod get_handover;
mod get_standin;
mod get_table;
mod live;
mod live_docs;
mod live_get;
mod live_get_ends;
mod live_get_handover;
mod live_get_others;
mod live_get_outage;
mod live_gone;
mod live_handover;
mod live_handover_record;
mod live_healthy;
mod live_kept;
mod live_outage;
mod live_promotion;
mod live_queue;
mod live_repositories;
mod live_run;
mod live_setup;
mod live_status;
mod live_stop;
mod live_watch;
mod live_watch_dark;
mod live_watch_repairs;
mod live_watch_story;
mod outcome;
mod outputs_browser;
mod outputs_exposition;
mod outputs_packaging;
mod outputs_page;
mod outputs_program;
mod outputs_reports;
mod outputs_situations;
mod outputs_snapshots;
mod outputs_watch;
mod package;
mod push_classes;
mod push_giving_up;
mod push_pressure;
mod push_settings;
mod push_state;
mod push_table;
mod push_watch;
mod run_docker;
mod run_environment;
mod run_scene;
mod run_signals;
mod run_watch;
#[cfg(debug_assertions)]
mod setup_crash;
mod setup_phases;
mod setup_scene;
mod setup_shell;
mod setup_table;
mod setup_trouble;
mod standin;
mod status_files;
mod status_snapshots;
mod status_states;
mod tidy;
#[cfg(debug_assertions)]
mod watch_crash;
mod watch_full_disk;
mod watch_histories;
mod watch_numbers;
mod watch_scene;
mod watch_table;
