#!/bin/sh
# The stand-in for pgBackRest under the watcher: notes each call, then does what the case's file for the command says.
here=${0%/*}
root=${here%/*}
command=none
for word in "$@"; do
    case $word in archive-push | backup | expire | info | repo-ls | stanza-create | version) command=$word && break ;; esac
done
echo "$*" >>"$root/answer/calls"
[ ! -f "$root/answer/$command.sh" ] || . "$root/answer/$command.sh"
