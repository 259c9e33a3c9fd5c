# $1 is 0 at a removal, 1 at an upgrade.
# An archive_command that names a missing program always fails, and the disk fills up.
if [ "$1" = 0 ]; then
    for file in /var/lib/pgsql/*/data/postgresql.conf /var/lib/pgsql/*/data/conf.d/*.conf \
        /var/lib/pgsql/*/data/postgresql.auto.conf; do
        [ -f "$file" ] || continue
        if grep -q '^[^#]*pgbackrest-guard-\(push\|get\)' "$file"; then
            echo "pgbackrest-guard: $file still calls it and will fail without it: WAL will pile up until PostgreSQL stops." >&2
            echo "pgbackrest-guard: set archive_command and restore_command back to pgbackrest now, and reload the server." >&2
        fi
    done
    if [ -d /run/systemd/system ]; then
        systemctl stop 'pgbackrest-guard@*.service' 'pgbackrest-guard-drill@*.timer' 'pgbackrest-guard-drill@*.service' || true
    fi
fi
