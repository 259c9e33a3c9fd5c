#!/bin/sh
# The stand-in for pgBackRest's archive-get: notes how it was called, then does what the case says.
# $file and $target are the arguments, $call counts from 1, $root is the case's folder.
here=${0%/*}
root=${here%/*}
for word in "$@"; do
    file=$target
    target=$word
done
echo "$*" >>"$root/calls"
env >"$root/environment"
call=$(($(wc -l <"$root/calls")))
# What pgBackRest says, at level info, of a file that no repository has.
absent() {
    echo "INFO: unable to find $file in the archive" >&2
    exit 1
}
. "$root/answer.sh"
