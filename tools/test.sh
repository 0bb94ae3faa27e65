#!/bin/sh
# All Python tests: those that start Apaches, which mostly wait, beside all others. Whoever names tests, or
# uses an option with a value of its own, gets one ordinary run. The arguments are pytest's.
set -eu

cd "$(dirname "$0")/.."
pytest=.venv/bin/pytest
for argument; do
    case $argument in
    -*) ;;
    *) exec $pytest "$@" ;;
    esac
done

# Doctor looks at all Apaches of the machine: those that start one stay together.
servers="tests/apache tests/apacheconf tests/test_selfcheck.py"
log=$(mktemp)
# A shell lets what it starts beside itself ignore SIGINT, and then so would all that the tests start.
heed='import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])'
.venv/bin/python -c "$heed" $pytest "$@" $servers >"$log" 2>&1 &
beside=$!
trap 'kill -TERM $beside 2>/dev/null || true; wait $beside || true; rm -f "$log"; exit 130' INT TERM HUP

status=0
# shellcheck disable=SC2046  # words
$pytest "$@" $(for path in $servers; do echo "--ignore=$path"; done) || status=$?
echo "The tests with Apaches:"
wait $beside || status=$?
cat "$log"
rm -f "$log"
exit $status
