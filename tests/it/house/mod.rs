//! The house: rules that neither the compiler nor clippy keeps. Nothing is started here, files of the repository are
//! read.
//!
//! `docs_blocks.rs` also reads the scenes out of the pages for `live/docs.rs`, which plays them.

mod circles;
mod columns;
pub(crate) mod docs_blocks;
mod holes;
mod package;
mod sizing;
mod tidy;
mod words;
