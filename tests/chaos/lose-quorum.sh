#!/bin/sh
# Pauses a majority of the voters: changes are refused, and units keep running.
#
#   tests/chaos/lose-quorum.sh --endpoint HOST:PORT[,HOST:PORT...] [--seconds N]
#
# Pauses the processes of a majority of the voters for N seconds (default 5). Meanwhile, a remaining agent
# must serve stale reads and refuse linearizable ones. Then the script resumes the processes and waits
# until all agents agree.
#
# Needs meridian, ss, and a majority of the voters on this machine, and root if they run as another user.
set -eu
. "$(dirname "$0")/lib.sh"

endpoint='' seconds=5
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --seconds) seconds=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT[,HOST:PORT...] [--seconds N]"
require_meridian

# The leader first, so that the remaining agent is a follower.
members=$(rows cluster members | grep '"voter":true') || fail "$endpoint is unreachable"
voters=$(
    echo "$members" | grep '"role":"leader"' | field address
    echo "$members" | grep -v '"role":"leader"' | field address
)
count=$(echo "$voters" | wc -l)
stop=$(echo "$voters" | head -n $((count / 2 + 1)))
left=$(echo "$voters" | tail -n 1)
[ "$count" -gt 1 ] || fail "a cluster with one voter has no other agent to contact"
pids=''
for address in $stop; do
    pid=$(listener "$address")
    [ -n "$pid" ] ||
        fail "no process of this user listens on $address: this needs a majority of the voters here"
    pids="$pids $pid"
done

say "pausing $(echo "$stop" | wc -l) of $count voters for $seconds s: processes$pids"
# Resumes them however this script ends.
# shellcheck disable=SC2086 # several processes
trap 'kill -CONT $pids 2>/dev/null' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2086
kill -STOP $pids
sleep "$seconds"
command meridian service list --stale --endpoint "$left" >/dev/null || fail "$left refuses a stale read"
if command meridian service list --timeout 2s --endpoint "$left" >/dev/null 2>&1; then
    fail "$left serves a linearizable read without a quorum"
fi
# shellcheck disable=SC2086
kill -CONT $pids
say "resumed"

wait_until_agreed
say "passed: no linearizable read without a quorum, and the same state on all agents"
