# The ledger lies in the data directories and stays: it is theirs.
if [ "$1" = 0 ]; then
    rm -f /etc/systemd/system/multi-user.target.wants/pgbackrest-guard@*.service
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
