//! Every setting, declared once: parsing, defaults, warnings, help, manual, completions, the settings file and the
//! tables of docs/configuration.md come from here.
//!
//! To add one:
//!
//! 1. a row in the file of its group: the variable, the type and the kind of its value (`value/typed.rs` has them, a new
//!    type goes to `value/`), and the fields of [`Declaration`] that differ from `Declaration::of`;
//! 2. a field in the program's settings (`src/settings/push.rs`, …) that asks for it: `sources.value(&table::NAME, None)`,
//!    or `sources.optional(…)` where the default is no constant;
//! 3. with a flag: `flag: Some("…")` in the row, a field of that name with `#[arg(long)]` in the program's arguments
//!    (`src/cli/`; for a choice with `value_parser = choice(&table::NAME)`) and in its `…Flags`; the help comes from the row;
//! 4. `make pages`, which writes the settings file and the tables of docs/configuration.md anew.
//!
//! Tests tell what is forgotten: a flag that no command line has, a default or an example that its parser refuses, a
//! setting that nobody reads, files that were not written anew.

pub(crate) use super::declaration::Declared;
pub use super::declaration::{Declaration, Fallback, Group, Kind, Program};

/// Declares a group and its settings: a static for each, under the variable's name, and `GROUP` for them all.
macro_rules! settings {
    (
        name: $name:literal, heading: $heading:literal, note: $note:literal, users: $users:expr;
        $($variable:ident: $type:ty = $typed:expr, { $($field:ident: $value:expr),+ $(,)? })+
    ) => {
        $(pub(crate) static $variable: Declared<$type> = Declared::new(
            &$typed,
            Declaration { $($field: $value,)+ ..Declaration::of(stringify!($variable), $users) },
        );)+

        pub(super) static GROUP: Group = Group {
            name: $name,
            heading: $heading,
            note: $note,
            users: $users,
            settings: &[$(&$variable.declaration),+],
        };

        /// Calls `check` with each setting and its parser.
        #[cfg(test)]
        pub(super) fn each(check: &mut super::tests::Check<'_>) {
            $(check(&$variable.declaration, &|text| $variable.parse(&text.into()).map(drop));)+
        }
    };
}

mod common;
mod drill;
mod get;
mod push;
mod recover;
mod restore;
mod schedule;
mod server;
mod setup;
mod watch;

pub(crate) use common::*;
pub(crate) use drill::*;
pub(crate) use get::*;
pub(crate) use push::*;
pub(super) use recover::*;
pub(super) use restore::*;
pub(super) use schedule::*;
pub(super) use server::*;
pub(super) use setup::*;
pub(super) use watch::*;

/// Every setting, in the order in which they are shown.
pub static GROUPS: &[&Group] = &[
    &common::GROUP,
    &push::GROUP,
    &get::GROUP,
    &watch::GROUP,
    &schedule::GROUP,
    &server::GROUP,
    &setup::GROUP,
    &restore::GROUP,
    &drill::GROUP,
    &recover::GROUP,
];

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static Declaration> {
    GROUPS.iter().flat_map(|group| group.settings.iter().copied())
}

/// Whether the settings file may set a variable of this name.
pub(super) fn may_stand_in_file(variable: &str) -> bool {
    all().any(|setting| setting.variable == variable && setting.in_file)
}

#[cfg(test)]
mod tests;
