//! `--print-env` in real shells, with values that a careless program would let them run.

use super::scene::{GUARD, Scene};

/// What would do harm, or at least an output of its own, when a shell took it for more than a value.
const HOSTILE: &[&str] = &[
    "$(touch HARM)",
    "`touch HARM`",
    "'; touch HARM; '",
    "\"; touch HARM; \"",
    "x\ntouch HARM\n",
    "x; touch HARM",
    "x && touch HARM",
    "\\'; touch HARM #",
    "${IFS}touch${IFS}HARM",
    "x\u{0b}touch HARM",
    "wal-archive$(touch HARM)",
    "-n $(touch HARM)",
    "${{bucket.BUCKET}}",
    "export PATH=/nowhere",
];

/// Evaluates what setup prints, and tells what the shell then has.
fn evaluated(shell: &str, scene: &Scene) -> String {
    let script = format!(
        "eval \"$({GUARD} setup --print-env 2>/dev/null)\" || exit 9\n\
         echo \"[${{WAL_ARCHIVE_BUCKET-unset}}] [${{WAL_ARCHIVE_KEY-unset}}] [${{WAL_ARCHIVE_SECRET-unset}}]\" \
         \"[${{WAL_ARCHIVE_REGION-unset}}] [${{WAL_ARCHIVE_ENDPOINT-unset}}] [${{PGBACKREST_BUCKET_INVALID_REASON-unset}}]\"\n"
    );
    let like_setup = scene.command(&[]);
    let mut command = std::process::Command::new(shell);
    command.args(["-u", "-c"]).arg(script).env_clear();
    command.envs(like_setup.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Scene::run(command.current_dir(scene.path())).ended(0);
    assert_eq!(said.stderr, "", "{shell}");
    assert!(!scene.path().join("HARM").exists(), "{shell}: {said:?}");
    said.stdout
}

#[test]
fn no_shell_runs_a_value() {
    for shell in ["sh", "bash"] {
        for variable in
            ["WAL_ARCHIVE_BUCKET", "WAL_ARCHIVE_SECRET", "WAL_ARCHIVE_PATH", "PGBACKREST_BUCKET_INVALID_REASON"]
        {
            for value in HOSTILE {
                let scene = Scene::new().with(variable, value);
                let seen = evaluated(shell, &scene);
                let junk = variable == "WAL_ARCHIVE_BUCKET";
                assert!(
                    !junk || seen.starts_with("[unset] [unset] [unset] [unset] [unset] ["),
                    "{shell} {value}: {seen}"
                );
                assert!(!junk || !seen.contains("unset]\n") && !seen.contains("HARM"), "{shell} {value}: {seen}");
            }
        }
    }
}

#[test]
fn the_lines_are_exactly_what_the_next_phase_needs() {
    let lines = |scene: &Scene| scene.setup(&["--print-env"]).ended(0).tells_no_secret().stdout;
    let all = "unset WAL_ARCHIVE_BUCKET\nunset WAL_ARCHIVE_KEY\nunset WAL_ARCHIVE_SECRET\nunset WAL_ARCHIVE_REGION\n\
               unset WAL_ARCHIVE_ENDPOINT\nunset WAL_ARCHIVE_KEY_FILE\nunset WAL_ARCHIVE_SECRET_FILE\n";
    let junk = Scene::initialised().with("WAL_ARCHIVE_BUCKET", "${{bucket}}");
    let expected = format!("{all}export PGBACKREST_BUCKET_INVALID_REASON=unresolved-template-ref\n");
    assert_eq!(lines(&junk), expected);
    assert_eq!(
        junk.read(".pgbackrest_invalid_bucket").as_deref(),
        Some("unresolved-template-ref\n"),
        "it does the setup"
    );
    // Also where nothing can be written.
    assert_eq!(lines(&junk.without("PGDATA")), expected);
    let good = Scene::initialised();
    assert_eq!(lines(&good), "");
    assert!(good.read("conf.d/pgbackrest.conf").is_some(), "it does the setup");
    let stale = "PGBACKREST_BUCKET_INVALID_REASON";
    assert_eq!(lines(&good.with(stale, "whitespace")), format!("unset {stale}\n"));
    assert_eq!(lines(&Scene::new().with("WAL_ARCHIVE_BUCKET", "")), "");
    Scene::new().setup(&["--print-env", "--dry-run"]).ended(2);
}
