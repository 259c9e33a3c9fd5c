//! `pgbackrest-guard status` and the tasks to come: see `pgbackrest_guard::cli::guard`.

fn main() -> std::process::ExitCode {
    pgbackrest_guard::cli::guard::main()
}
