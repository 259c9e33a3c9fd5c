//! `packaging/docker`, as far as it can be checked without a container engine: what is copied is there, what is called
//! is built, and the hook is two lines of shell. `make image-test` builds it and lives with it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

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
    // In the root of the context: only BuildKit reads one that is named after its Dockerfile.
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
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
    for needed in ["src", "tests/lab/Cargo.toml", "packaging/pages/Cargo.toml"] {
        assert!(copied.iter().any(|source| source == needed), "{needed} is not copied");
    }
    assert_eq!(ignored.lines().filter(|line| line.starts_with('!')).count(), copied.len(), "nothing else: {ignored}");
}

#[test]
fn the_dependencies_are_a_layer_of_their_own() {
    let all = instructions();
    let build = |words: &[String]| words.join(" ").contains("cargo build --release --locked --lib");
    let layer = all.iter().position(|words| words[0] == "RUN" && build(words)).unwrap();
    let sources = all.iter().position(|words| words[0] == "COPY" && words.iter().any(|word| word == "src")).unwrap();
    assert!(layer < sources, "a change in src/ would compile every dependency");
    // Cargo wants a file for every target of the manifest; the layer's own words make them.
    let script = text("Dockerfile").replace("\\\n", " ");
    let script = script.lines().find_map(|line| line.strip_prefix("RUN for ")).unwrap();
    let script = format!("for {}", script.split("&& cargo build").next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("Cargo.toml"), folder.path().join("Cargo.toml")).unwrap();
    let status = Command::new("sh").args(["-e", "-c", &script]).current_dir(folder.path()).status().unwrap();
    assert!(status.success());
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let targets: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"')).collect();
    assert!(targets.len() > 4, "{targets:?}");
    for target in targets.iter().chain(&["src/lib.rs", "tests/lab/src/lib.rs", "packaging/pages/src/main.rs"]) {
        assert!(folder.path().join(target).is_file(), "{target} is not made");
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
    assert_eq!(from, ["${RUST_IMAGE}", "${POSTGRES_IMAGE}"]);
    let default = |name: &str| {
        let arguments = all.iter().filter(|words| words[0] == "ARG").map(|words| words[1].as_str());
        arguments.filter_map(|word| word.split_once('=')).find(|(other, _)| *other == name).unwrap().1
    };
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    // A program linked against a newer C library than the image has does not start.
    assert_eq!(default("RUST_IMAGE"), format!("rust:{rust}-${{DEBIAN}}"));
    assert_eq!(default("POSTGRES_IMAGE"), "postgres:${POSTGRES}-${DEBIAN}");
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
