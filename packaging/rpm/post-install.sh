# Changes nothing by itself: no cluster's configuration, no service. docs/rhel.md says what to do next.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
