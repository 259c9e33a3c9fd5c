//! What a declaration of a setting consists of.

use crate::bad_value::BadValue;
use std::ffi::OsString;

/// A program, or a task of `pgbackrest-guard`, that reads settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `pgbackrest-guard-push`
    Push,
    /// `pgbackrest-guard-get`
    Get,
    /// `pgbackrest-guard watch`
    Watch,
    /// `pgbackrest-guard status`
    Status,
    /// `pgbackrest-guard setup`
    Setup,
    /// `pgbackrest-guard run`
    Run,
    /// `pgbackrest-guard check`
    Check,
    /// `pgbackrest-guard restore`
    Restore,
    /// `pgbackrest-guard drill`
    Drill,
}

impl Program {
    /// Every program, in the order of the manual.
    pub const ALL: &'static [Self] = &[
        Self::Push,
        Self::Get,
        Self::Watch,
        Self::Status,
        Self::Setup,
        Self::Run,
        Self::Check,
        Self::Restore,
        Self::Drill,
    ];

    /// The program of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|program| program.name() == name)
    }

    /// The word for it in a text, and for a task of `pgbackrest-guard` its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Get => "get",
            Self::Watch => "watch",
            Self::Status => "status",
            Self::Setup => "setup",
            Self::Run => "run",
            Self::Check => "check",
            Self::Restore => "restore",
            Self::Drill => "drill",
        }
    }
}

/// What a value is. It says how help, settings file and completions show it; how it is read, a `Typed` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, relative or absolute.
    File,
    /// A file by its absolute path.
    AbsoluteFile,
    /// A folder by its absolute path.
    AbsoluteFolder,
    /// A program, by its path or its name on `PATH`.
    Program,
    /// A stanza's name.
    Stanza,
    /// A size in MiB.
    Mebibytes,
    /// A time in seconds.
    Seconds,
    /// A time in hours.
    Hours,
    /// A time in seconds that can't be 0.
    TimeLimit,
    /// A number of `unit` in a range, both ends included.
    Number {
        /// The smallest value that is taken.
        least: u64,
        /// The largest value that is taken.
        most: u64,
        /// The unit, as the help shows it: `MiB`, `seconds`.
        unit: &'static str,
    },
    /// A repository's number, 1 to 256.
    Repository,
    /// A port.
    Port,
    /// On or off.
    Switch,
    /// One of a few words.
    Choice {
        /// What help calls the value.
        name: &'static str,
        /// The words.
        words: &'static [&'static str],
    },
    /// Error codes of a store, between commas.
    Codes,
    /// Any text.
    Text,
}

impl Kind {
    /// The unit, or nothing.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Mebibytes => "MiB",
            Self::Seconds | Self::TimeLimit => "seconds",
            Self::Hours => "hours",
            Self::Number { unit, .. } => unit,
            Self::File
            | Self::AbsoluteFile
            | Self::AbsoluteFolder
            | Self::Program
            | Self::Stanza
            | Self::Repository
            | Self::Port
            | Self::Switch
            | Self::Choice { .. }
            | Self::Codes
            | Self::Text => "",
        }
    }

    /// What stands for the value behind its flag.
    #[must_use]
    pub fn value_name(self) -> &'static str {
        match self {
            Self::File | Self::AbsoluteFile => "FILE",
            Self::AbsoluteFolder => "DIR",
            Self::Program => "PROGRAM",
            Self::Stanza => "NAME",
            Self::Mebibytes => "MIB",
            Self::Seconds | Self::TimeLimit => "SECONDS",
            Self::Hours => "HOURS",
            Self::Number { .. } | Self::Repository | Self::Port => "N",
            Self::Choice { name, .. } => name,
            Self::Codes => "CODES",
            Self::Switch => "SWITCH",
            Self::Text => "TEXT",
        }
    }
}

/// A kind, and the parser that gives its type.
pub(super) struct Typed<T> {
    pub(super) kind: Kind,
    pub(super) read: fn(&OsString) -> Result<T, BadValue>,
}

/// What holds where nobody has set anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// A constant, as it would be set; the setting's own parser reads it.
    Value(&'static str),
    /// What is found out, in words.
    Words(&'static str),
    /// Nothing: the setting is off, or not needed.
    Unset,
}

impl Fallback {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Value(words) | Self::Words(words) => words,
            Self::Unset => "none",
        }
    }
}

/// All that is said about a setting, wherever it is said.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// The variable; in lower case the key in the settings file.
    pub variable: &'static str,
    /// The flag without its dashes. One that begins with `no-` means the variable's `0`.
    pub flag: Option<&'static str>,
    /// What a value is.
    pub kind: Kind,
    /// What holds otherwise.
    pub default: Fallback,
    /// A value as somebody might set it; may be empty where the default is a constant.
    pub example: &'static str,
    /// A short sentence without its full stop, for help and for the head of every text.
    pub help: &'static str,
    /// More whole sentences in Markdown, for the pages; may be empty. Not what the kind, the default or the users say.
    pub more: &'static str,
    /// Who reads it.
    pub users: &'static [Program],
    /// Whether the settings file may set it.
    pub in_file: bool,
    /// Whether its value is never shown.
    pub secret: bool,
}

impl Declaration {
    /// What a row of the table begins from: a setting without a flag, a default or a secret.
    pub(super) const fn of(variable: &'static str, users: &'static [Program]) -> Self {
        Self {
            variable,
            flag: None,
            kind: Kind::Text,
            default: Fallback::Unset,
            example: "",
            help: "",
            more: "",
            users,
            in_file: true,
            secret: false,
        }
    }

    /// The key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.variable.to_ascii_lowercase()
    }

    /// Whether the flag means the variable's `0`.
    #[must_use]
    pub fn is_negated(&self) -> bool {
        self.flag.is_some_and(|flag| flag.starts_with("no-"))
    }

    /// In clap's notation: the variable that means the same as the flag, and the default.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let variable = self.variable;
        match self.default {
            _ if self.is_negated() => vec![format!("[env: {variable}=0]")],
            Fallback::Unset => vec![format!("[env: {variable}]")],
            Fallback::Value(words) | Fallback::Words(words) => {
                vec![format!("[env: {variable}]"), format!("[default: {words}]")]
            }
        }
    }
}

/// A declaration together with the type of its value.
pub(crate) struct Declared<T> {
    /// What is said about it.
    pub(crate) declaration: Declaration,
    read: fn(&OsString) -> Result<T, BadValue>,
}

impl<T> Declared<T> {
    pub(super) const fn new(typed: &Typed<T>, mut declaration: Declaration) -> Self {
        declaration.kind = typed.kind;
        Self { declaration, read: typed.read }
    }

    /// The value that a text means.
    pub(crate) fn parse(&self, text: &OsString) -> Result<T, BadValue> {
        (self.read)(text)
    }

    /// The default of a setting that has a constant one. The tests of the table see to it that it can be read.
    pub(super) fn constant(&self) -> T {
        match self.declaration.default {
            Fallback::Value(text) => self.parse(&OsString::from(text)),
            Fallback::Words(_) | Fallback::Unset => Err(BadValue("no constant is declared")),
        }
        .expect("a default that is declared")
    }
}

/// Settings that belong together: a table in docs/configuration.md, a part of the settings file.
#[derive(Debug)]
pub struct Group {
    /// The marker of its table.
    pub name: &'static str,
    /// Its heading in the settings file and the manual.
    pub heading: &'static str,
    /// What is said below the heading; may be empty.
    pub note: &'static str,
    /// Who reads its settings, unless one says otherwise.
    pub users: &'static [Program],
    /// The settings, in the order in which they are shown.
    pub settings: &'static [&'static Declaration],
}
