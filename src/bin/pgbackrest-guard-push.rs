//! `archive_command = 'pgbackrest-guard-push %p'`: see `pgbackrest_guard::push`.

fn main() -> std::process::ExitCode {
    pgbackrest_guard::cli::push::main()
}
