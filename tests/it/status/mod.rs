//! Status: the report, what it is made of, and all its forms.
//!
//! There are two scenes. The forms are held against made-up reports, one a situation (`reports.rs`, `situations.rs`);
//! what they print is kept in `snapshots/`. The program runs on the data directories that push leaves
//! (`push/standin.rs`).

mod browser;
mod exposition;
mod files;
mod first_contact;
mod packaging;
mod page;
mod program;
mod reports;
mod schema;
mod situations;
mod snapshots;
mod states;
mod text;
mod watch;
