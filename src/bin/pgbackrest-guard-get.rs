//! `restore_command = 'pgbackrest-guard-get %f "%p"'`: see `pgbackrest_guard::get`.

fn main() -> std::process::ExitCode {
    pgbackrest_guard::cli::get::main()
}
