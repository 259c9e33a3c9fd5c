#!/bin/sh
# The stand-in for pgBackRest: notes how it was called, then does what the case's file for the command says.
here=${0%/*}
root=${here%/*}
out=$root/spool/archive/main/out
command=none
for word in "$@"; do
    case $word in archive-push | info) command=$word ;; esac
done
echo "$*" >>"$root/answer/$command.calls"
env >"$root/answer/$command.environment"
pwd >"$root/answer/$command.directory"
[ ! -f "$root/answer/$command.sh" ] || . "$root/answer/$command.sh"
