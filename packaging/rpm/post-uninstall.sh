# The ledger is in the data directories and stays there.
if [ "$1" = 0 ]; then
    rm -f /etc/systemd/system/multi-user.target.wants/pgbackrest-guard@*.service
    rm -f /etc/systemd/system/timers.target.wants/pgbackrest-guard-drill@*.timer
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
