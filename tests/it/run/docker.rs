//! `packaging/docker`, as far as it can be checked without a container engine: what is copied is there, what is called
//! is built, and the hook is two lines of shell.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join("packaging/docker").join(name)).unwrap()
}

/// The instructions, continued lines joined.
fn instructions() -> Vec<Vec<String>> {
    let text = text("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The words of an instruction behind its name and flags.
fn words(instruction: &[String]) -> Vec<&str> {
    instruction.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with("--")).collect()
}

#[test]
fn everything_that_is_copied_is_there_and_is_given_to_the_builder() {
    let ignored = text("Dockerfile.dockerignore");
    let mut copied = Vec::new();
    for copy in instructions().iter().filter(|words| words[0] == "COPY") {
        let is_from_build = copy.iter().any(|word| word == "--from=build");
        let words = words(copy);
        let (_, sources) = words.split_last().unwrap();
        for source in sources.iter().filter(|_| !is_from_build) {
            assert!(root().join(source).exists(), "{source} is not there");
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is kept from the builder");
            copied.push((*source).to_owned());
        }
    }
    // Cargo reads the manifest only if every target in it is there.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let targets: Vec<_> = paths.chain(["tests/lab/Cargo.toml", "src/bin/pgbackrest-guard.rs"]).collect();
    assert!(targets.len() > 4, "{targets:?}");
    for target in targets {
        assert!(copied.iter().any(|source| Path::new(target).starts_with(source)), "{target} is not copied");
    }
}

#[test]
fn the_programs_are_those_that_make_release_builds() {
    let copies = instructions();
    let built = copies.iter().find(|words| words.iter().any(|word| word == "--from=build")).unwrap();
    assert_eq!(words(built), ["/src/target/dist/", "/usr/local/bin/"]);
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    assert!(makefile.contains("RELEASE = $(TARGET)/dist") && makefile.contains("\nrelease:"), "make release");
    for program in fs::read_dir(root().join("src/bin")).unwrap() {
        let program = program.unwrap().path();
        let name = program.file_stem().unwrap().to_str().unwrap();
        assert!(makefile.contains(&format!("$(TARGET)/release/{name} ")), "{name} is not in {makefile}");
    }
    let run = copies.iter().find(|words| words[0] == "ENTRYPOINT").unwrap()[1..].join(" ");
    assert_eq!(run, r#"["pgbackrest-guard", "run", "--", "docker-entrypoint.sh"]"#);
}

#[test]
fn the_base_images_fit_one_another_and_the_manifest() {
    let all = instructions();
    let from: Vec<_> = all.iter().filter(|words| words[0] == "FROM").map(|words| words[1].as_str()).collect();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    // A program linked against a newer C library than the image has does not start.
    assert_eq!(from, [format!("rust:{rust}-${{DEBIAN}}"), "postgres:${POSTGRES}-${DEBIAN}".to_owned()]);
}

#[test]
fn the_hook_is_two_lines_and_does_not_replace_the_shell_that_reads_it() {
    let hook = text("initdb-hook.sh");
    assert_eq!(hook.lines().count(), 2, "{hook}");
    // The entrypoint reads a script that is not executable into its own shell.
    assert!(!hook.contains("exec ") && !hook.contains("exit"), "{hook}");
    assert!(hook.ends_with("pgbackrest-guard setup || true\n"), "what fails here must not end the first start: {hook}");
    let copies = instructions();
    let copy = copies.iter().find(|words| words.iter().any(|word| word.ends_with("initdb-hook.sh"))).unwrap();
    assert!(copy.iter().any(|word| word == "--chmod=0755"), "{copy:?}");
    let (folder, name) = words(copy)[1].rsplit_once('/').unwrap();
    assert_eq!(folder, "/docker-entrypoint-initdb.d");
    // The entrypoint goes by the ending (docker_process_init_files).
    assert_eq!(name.rsplit_once('.').unwrap().1, "sh");
}
