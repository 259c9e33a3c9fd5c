//! A strict reader of Prometheus' text exposition format 0.0.4, after its specification
//! (prometheus/docs, `content/docs/instrumenting/exposition_formats.md`), with what the format's readers insist on:
//! HELP and TYPE once and before the samples, all lines of a metric as one group, no series twice.

use std::collections::{BTreeMap, BTreeSet};

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// One metric: its type and its samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// Every metric by its name.
pub(crate) type Families = BTreeMap<String, Family>;

/// Reads an exposition, or says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Families, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        let name = read_line(line, &mut families).map_err(|why| format!("{why}: {line:?}"))?;
        let Some(name) = name else { continue };
        if name != current && families.get(&name).is_some_and(|family| lines_of(family) > 1) {
            return Err(format!("the lines of {name} are no group: {line:?}"));
        }
        current = name;
    }
    match families.iter().find(|(_, family)| family.samples.is_empty() || family.kind.is_empty()) {
        Some((name, _)) => Err(format!("{name} has no type or no sample")),
        None => Ok(families),
    }
}

fn lines_of(family: &Family) -> usize {
    usize::from(!family.kind.is_empty()) + usize::from(!family.help.is_empty()) + family.samples.len()
}

/// Reads one line; the metric that it is about.
fn read_line(line: &str, families: &mut Families) -> Result<Option<String>, String> {
    if let Some(comment) = line.strip_prefix('#') {
        return read_comment(comment, families);
    }
    if line.trim().is_empty() {
        return Ok(None);
    }
    let (name, sample) = read_sample(line)?;
    let family = families.get_mut(&name).filter(|family| !family.kind.is_empty()).ok_or("a sample before its TYPE")?;
    if family.samples.iter().any(|earlier| earlier.labels == sample.labels) {
        return Err("a series twice".to_owned());
    }
    if family.kind == "counter" && (sample.value.is_nan() || sample.value < 0.0) {
        return Err("a counter that is negative or no number".to_owned());
    }
    family.samples.push(sample);
    Ok(Some(name))
}

fn read_comment(comment: &str, families: &mut Families) -> Result<Option<String>, String> {
    let mut words = comment.trim_start().splitn(3, ' ');
    let (word, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.next().unwrap_or_default();
    if !matches!(word, "HELP" | "TYPE") {
        return Ok(None);
    }
    if !is_name(name, true) {
        return Err("no metric's name".to_owned());
    }
    let family = families.entry(name.to_owned()).or_default();
    if !family.samples.is_empty() {
        return Err(format!("{word} after a sample"));
    }
    let told = if word == "HELP" { &mut family.help } else { &mut family.kind };
    if !told.is_empty() {
        return Err(format!("{word} twice"));
    }
    if rest.is_empty() {
        return Err(format!("{word} says nothing"));
    }
    if word == "TYPE" && !matches!(rest, "counter" | "gauge" | "histogram" | "summary" | "untyped") {
        return Err("an unknown type".to_owned());
    }
    told.push_str(rest);
    Ok(Some(name.to_owned()))
}

fn is_name(text: &str, colon: bool) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || colon && c == ':';
    text.chars().all(good) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// `name{label="value",…} value [timestamp]`.
fn read_sample(line: &str) -> Result<(String, Sample), String> {
    let end = line.find(['{', ' ', '\t']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("no metric's name".to_owned());
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = read_value(words.next().ok_or("no value")?)?;
    if let Some(timestamp) = words.next() {
        timestamp.parse::<i64>().map_err(|_| "a timestamp that is no whole number")?;
    }
    if words.next().is_some() {
        return Err("something behind the timestamp".to_owned());
    }
    Ok((name.to_owned(), Sample { labels, value }))
}

/// What Go's `ParseFloat` takes, as far as it is written by anybody.
fn read_value(text: &str) -> Result<f64, String> {
    let digits = text.trim_start_matches(['+', '-']);
    let special = matches!(digits, "Inf" | "NaN");
    if !special && !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err("a value that is no number".to_owned());
    }
    text.parse().map_err(|_| "a value that is no number".to_owned())
}

/// The labels, and what stands behind the closing brace.
fn read_labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) || name.starts_with("__") {
            return Err(format!("no label's name: {name:?}"));
        }
        let (value, after) = read_quoted(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err("a label twice".to_owned());
        }
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err("no comma between labels".to_owned()),
        };
    }
}

/// A label's value up to its closing quote: `\\`, `\"` and `\n` are the escapes.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, if c == '\\' { chars.next().map(|(_, c)| c) } else { None }) {
            ('"', _) => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some(c @ ('\\' | '"'))) => value.push(c),
            ('\\', _) => return Err("an unknown escape".to_owned()),
            (c, _) => value.push(c),
        }
    }
    Err("a label's value without an end".to_owned())
}

#[test]
fn the_reader_is_strict() {
    let head = "# HELP a Of a.\n# TYPE a gauge\n";
    for good in [
        "a 1\n",
        "a -1.5e3 1395066363000\n",
        "a{b=\"c\\\\ \\\" \\n\",d=\"\",} NaN\n",
        "a{b=\"1\"} +Inf\na{b=\"2\"} 0\n",
    ] {
        let families = parse(&format!("{head}{good}")).unwrap();
        assert_eq!(families["a"].kind, "gauge");
    }
    for bad in [
        "a 1",
        "a\n",
        "a x\n",
        "a infinity\n",
        "a 1 1.5\n",
        "a 1 2 3\n",
        "a 1\na 2\n",
        "b 1\n",
        "1a 1\n",
        "a{b=1} 1\n",
        "a{b=\"c\" d=\"e\"} 1\n",
        "a{b=\"c\",b=\"d\"} 1\n",
        "a{b=\"\\t\"} 1\n",
        "a{b=\"c} 1\n",
        "a{1=\"c\"} 1\n",
        "a 1\n# TYPE a gauge\n",
        "a 1\n# HELP b Of b.\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP b Of b.\nb 1\n",
        "a 1\n# HELP b Of b.\n# TYPE b thing\nb 1\n",
        "a 1\n# HELP b Of b.\n# TYPE b gauge\n",
        "a 1\n# HELP b Of b.\n# TYPE b counter\nb -1\n",
    ] {
        assert!(parse(&format!("{head}{bad}")).is_err(), "{bad:?}");
    }
    let names: BTreeSet<_> = parse(&format!("{head}a 1\n")).unwrap().into_keys().collect();
    assert_eq!(names.len(), 1);
}
