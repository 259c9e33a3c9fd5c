//! The decisions, as functions of plain values: no clock, file, process or environment.

pub mod at;
pub mod check;
pub mod differing;
pub mod drill;
pub mod get;
pub mod heal;
pub mod holes;
pub mod marker;
pub mod next;
pub mod overdue;
pub mod pressure;
pub mod push;
pub mod recover;
pub mod regime;
pub mod repository_path;
pub mod restore;
pub mod setup;
pub mod stanza;
pub mod status;
pub mod strangers;
pub mod supervisor;
pub mod walk;
pub mod watch;
pub mod wedge;
pub mod windows;
