#!/bin/sh
# Runs readers under libFuzzer, one after the other, and prints a row of a table for each: what `make fuzz` does.
# Arguments: the folder with their programs, a folder for corpora and findings, the readers.
# FUZZ_SECONDS and FUZZ_RUNS in the environment end each of them.
set -u
programs=$1 work=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
failed=0
for reader in "$@"; do
	seeds="$root/tests/fuzz/seeds/$reader" most=512
	case $reader in
	# What a real pgBackRest has said.
	failure) seeds="$seeds $root/tests/lab/samples" most=1024 ;;
	info | state) most=2048 ;;
	bucket | page | target) most=96 ;;
	esac
	mkdir -p "$work/corpus/$reader" "$work/found/$reader"
	log="$work/$reader.log"
	begun=$(date +%s)
	# shellcheck disable=SC2086
	"$programs/$reader" -max_len=$most -max_total_time="${FUZZ_SECONDS:-60}" -runs="${FUZZ_RUNS:--1}" -timeout=10 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix="$work/found/$reader/" "$work/corpus/$reader" $seeds >"$log" 2>&1
	code=$?
	seconds=$(($(date +%s) - begun))
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	found=$(find "$work/found/$reader" -type f | wc -l)
	corpus=$(find "$work/corpus/$reader" -type f | wc -l)
	echo "| $reader | ${executions:-?} | $seconds | $corpus | $found |"
	if [ $code -ne 0 ]; then
		failed=1
		cat "$log" >&2
	fi
done
exit $failed
