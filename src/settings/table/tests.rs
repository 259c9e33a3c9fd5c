//! The table is whole: what a row claims can be read, and its words fit where they are shown.

use super::*;
use crate::bad_value::BadValue;
use std::collections::BTreeSet;

/// What is done with each setting and its parser.
pub(super) type Check<'c> = dyn FnMut(&Declaration, &dyn Fn(&str) -> Result<(), BadValue>) + 'c;

fn each(check: &mut Check<'_>) {
    for group in [
        common::each,
        push::each,
        get::each,
        watch::each,
        schedule::each,
        server::each,
        setup::each,
        restore::each,
        recover::each,
        drill::each,
    ] {
        group(check);
    }
}

#[test]
fn defaults_examples_and_choices_are_read_by_their_own_parser() {
    let mut seen = BTreeSet::new();
    each(&mut |setting, parse| {
        let read = |text: &str| assert_eq!(parse(text), Ok(()), "{}='{text}'", setting.variable);
        if let Fallback::Value(text) = setting.default {
            read(text);
        }
        if let Kind::Choice { words, .. } = setting.kind {
            for word in words {
                read(word);
            }
            assert!(parse("nonsense").is_err(), "{}", setting.variable);
        }
        if !setting.example.is_empty() {
            read(setting.example);
        }
        seen.insert(setting.variable);
    });
    assert_eq!(seen, all().map(|setting| setting.variable).collect());
}

#[test]
fn a_row_has_what_its_texts_need() {
    let variables: Vec<_> = all().map(|setting| setting.variable).collect();
    assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len(), "no variable is declared twice");
    for setting in all() {
        let name = setting.variable;
        assert!(!setting.help.is_empty() && !setting.help.ends_with('.') && setting.help.len() <= 90, "{name}: help");
        assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{name}: more is whole sentences");
        assert!(setting.secret || !setting.example.is_empty(), "{name}: an example");
        assert!(!setting.users.is_empty(), "{name}: somebody reads it");
        let own = ["PG", "PITR_", "POSTGRES_", "WAL_"].iter().any(|prefix| name.starts_with(prefix));
        assert!(own, "{name}");
    }
}
