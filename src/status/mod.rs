//! `pgbackrest-guard status`: what is archived, lost and restorable, as far as files tell.
//!
//! It reads and never writes: not even a lock is taken, so a push never waits for it. What can't be known is `null`,
//! and what is unknown is never shown as healthy.

mod acknowledge;
mod archiving;
mod ask;
mod at;
mod backups;
mod catalog_report;
mod commits;
mod drill_report;
mod found;
mod gaps;
mod gather;
mod history;
mod html;
mod nagios;
mod prometheus;
mod redraw;
pub mod report;
mod repositories;
mod server;
mod text;
mod windows;

pub use acknowledge::{AcknowledgeError, acknowledge};
pub use ask::{Answer, ask};
pub use at::{Moment, look_at};
pub use commits::newest_commit;
pub use found::Request;
pub use gaps::{gaps_json, gaps_text};
pub use gather::gather;
pub use html::html;
pub use nagios::nagios;
pub use prometheus::prometheus;
pub use redraw::{redraw, terminal_rows};
pub use report::Report;
pub use server::Asking;
pub use text::{Style, text};
