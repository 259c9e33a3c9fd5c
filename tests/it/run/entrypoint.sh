#!/bin/bash
# In the order of the official image's entrypoint: take the folder over, become the server's user, and where there is no
# cluster yet: initdb, a temporary server on its socket alone, the scripts, its end. Then CMD in the place of this shell.
set -Eeo pipefail
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$BASH_SOURCE" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "before initdb: [$(ls -A "$PGDATA")]"
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --auth=trust --encoding=UTF8 --wal-segsize=1 --no-sync
    printf '%s\n' "unix_socket_directories = '$LAB'" "listen_addresses = ''" 'fsync = off' 'shared_buffers = 8MB' >>"$PGDATA/postgresql.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    # Time for a watcher to come too early.
    sleep 2.5
    for script in "$LAB"/hooks/*; do
        echo "running ${script##*/}, beside [$(cd "$PGDATA" && echo .pgbackrest*)]"
        if [ -x "$script" ]; then "$script"; else . "$script"; fi
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    echo 'init process complete'
fi
exec "$@"
