//! The JSON report is what `packaging/monitoring/status.schema.json` promises, field by field, and the page says the same.
//!
//! The validator knows the keywords of JSON Schema 2020-12 that the schema uses, and refuses to go on at another one.

use super::situations::situations;
use super::snapshots::is_as_kept;
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::status::gaps_json;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The schema.
pub(crate) fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/monitoring/status.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What of a value is not as the schema says: paths and words.
pub(crate) fn wrong(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check(schema, value, "", &mut wrong);
    wrong
}

fn check(schema: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
    for (keyword, told) in schema.as_object().unwrap() {
        let fine = match keyword.as_str() {
            "$schema" | "title" | "description" | "examples" => true,
            "type" => types(told).contains(&type_of(value)),
            "const" => told == value,
            "enum" => told.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|value| value >= told.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|value| value <= told.as_i64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(told.as_str().unwrap(), text)),
            "format" => {
                value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z'))
            }
            "required" => value.as_object().is_none_or(|fields| {
                told.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, schema) in told.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(schema, value, &format!("{path}/{name}"), wrong);
                    }
                }
                true
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(told, item, path, wrong);
                }
                true
            }
            other => panic!("the validator does not know {other}"),
        };
        if !fine {
            wrong.push(format!("{path}: {value} is not as {keyword} says: {told}"));
        }
    }
}

fn types(told: &Value) -> Vec<&str> {
    match told {
        Value::Array(types) => types.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap()],
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The three patterns that the schema has.
fn matches(pattern: &str, text: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
    let half = |text: &str| (1..=8).contains(&text.len()) && hexadecimal(text);
    match pattern {
        "^[0-9]+$" => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        "^[0-9A-F]{24}$" => text.len() == 24 && hexadecimal(text),
        "^[0-9A-F]{1,8}/[0-9A-F]{1,8}$" => text.split_once('/').is_some_and(|(high, low)| half(high) && half(low)),
        other => panic!("the validator does not know {other}"),
    }
}

/// Every field's path, without the places in lists.
fn fields_of(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}/{name}");
                fields_of(value, &path, fields);
                fields.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, path, fields)),
        _ => {}
    }
}

/// Every field of the schema with what is said of it, in its order.
fn declared<'s>(schema: &'s Value, path: &str, all: &mut Vec<(String, &'s Value)>) {
    let order = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named: BTreeSet<&str> = order.clone().collect();
    let properties = schema["properties"].as_object().unwrap();
    let others = properties.keys().map(String::as_str).filter(|name| !named.contains(name));
    for name in order.chain(others) {
        let (path, field) = (format!("{path}/{name}"), &properties[name]);
        all.push((path.clone(), field));
        let inner = if field["items"]["properties"].is_object() { &field["items"] } else { field };
        if inner["properties"].is_object() {
            declared(inner, &path, all);
        }
    }
}

#[test]
fn every_report_is_as_the_schema_says_and_every_field_is_declared() {
    let schema = schema();
    let mut printed = BTreeSet::new();
    for (name, report) in situations() {
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(wrong(&schema, &value), Vec::<String>::new(), "{name}");
        fields_of(&value, "", &mut printed);
        let gaps: Value = serde_json::from_str(&gaps_json(&report).unwrap()).unwrap();
        assert_eq!(wrong(&schema["properties"]["gaps"], &gaps["gaps"]), Vec::<String>::new(), "{name} --gaps");
        fields_of(&gaps, "", &mut printed);
    }
    let mut all = Vec::new();
    declared(&schema, "", &mut all);
    let declared: BTreeSet<String> = all.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(printed, declared);
    for (path, field) in all {
        let said = field["description"].as_str().unwrap_or_default();
        assert!(said.ends_with('.') || said.ends_with(')'), "{path}: {said:?}");
    }
}

#[test]
fn what_breaks_the_promise_is_noticed() {
    let schema = schema();
    let (_, report) = situations().into_iter().find(|(name, _)| *name == "open gap").unwrap();
    let good = serde_json::to_value(&report).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        wrong(&schema, &report)
    };
    for (pointer, value) in [
        ("/schema", json!(2)),
        ("/verdict", json!("fine")),
        ("/reasons", json!(null)),
        ("/cluster/system_id", json!(42)),
        ("/archiving/free_bytes", json!(-1)),
        ("/archiving/last_archived_at", json!("yesterday")),
        ("/gaps/0/first", json!("00000001")),
        ("/gaps/0/state", json!("lost")),
        ("/windows/0/from_lsn", json!("0x10")),
        ("/backups/running", json!(null)),
    ] {
        let found = changed(pointer, value.clone());
        assert_eq!(found.len(), 1, "{pointer} {value}: {found:?}");
    }
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("windows");
    assert_eq!(wrong(&schema, &without).len(), 1);
    let mut more = good;
    more["new"] = json!(1);
    assert_eq!(wrong(&schema, &more), Vec::<String>::new(), "fields may be added");
}

#[test]
fn classes_and_causes_that_the_schema_names_are_those_of_the_program() {
    let gap = &schema()["properties"]["gaps"]["items"]["properties"];
    let named = |field: &str| -> BTreeSet<String> {
        gap[field]["examples"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let classes: BTreeSet<String> = Class::KNOWN.iter().map(|class| class.as_str().to_owned()).collect();
    let causes: BTreeSet<String> = Cause::KNOWN.iter().map(|cause| cause.as_str().to_owned()).collect();
    assert_eq!((named("class"), named("cause")), (classes, causes));
}

/// docs/status-json.md is written out of the schema: `UPDATE_SNAPSHOTS=1` writes it anew.
#[test]
fn the_page_of_fields_says_what_the_schema_says() {
    let schema = schema();
    let mut all = Vec::new();
    declared(&schema, "", &mut all);
    let mut page = String::from(HEAD);
    for (path, field) in all {
        let types = types(&field["type"]);
        let kind = types.iter().find(|kind| **kind != "null").unwrap();
        let kind = if field["format"] == "date-time" { "time" } else { kind };
        let null = if types.contains(&"null") { " or null" } else { "" };
        let words = field["enum"].as_array().map_or(String::new(), |words| {
            let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
            format!(" One of {}.", words.join(", "))
        });
        let name = path.trim_start_matches('/').replace('/', ".");
        let _ = writeln!(page, "| `{name}` | {kind}{null} | {}{words} |", field["description"].as_str().unwrap());
    }
    is_as_kept("../../../../docs/status-json.md", &page);
}

const HEAD: &str = "\
# The JSON report, field by field

`pgbackrest-guard status --output=json` prints one object and nothing else.
`packaging/monitoring/status.schema.json` (JSON Schema 2020-12) says the same for programs, and the
tests check the program against it.

- `null` is unknown, and unknown is never shown as healthy.
- Times are RFC 3339 in UTC, sizes are bytes.
- As long as `schema` is 1, fields are only added; none changes its name, type or meaning. Ignore
  fields that you do not know.
- New words for `class` and `cause` may be added; treat one that you do not know as `unknown`.
  `reasons`, `detail` and `message` are for people, and their wording may change.

| field | type | meaning |
|---|---|---|
";
