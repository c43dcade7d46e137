#!/bin/sh
# Stops a majority of the voters for a while: nobody can change anything, and what runs goes on.
#
#   tests/chaos/lose-quorum.sh --endpoint HOST:PORT[,HOST:PORT...] [--seconds N]
#
# Stops the processes of as many voters as it takes, for N seconds, 5 by default. Meanwhile an agent
# that is left has to answer what it knows, and no agent may answer what needs a majority. Then they go
# on, and the script waits until all agents agree.
#
# Needs meridian, ss and awk, and a majority of the voters on this machine; root only where they are
# another user's.
set -eu

say() { printf '%s\n' "lose-quorum.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }
endpoint='' seconds=5
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --seconds) seconds=$2 ;;
        *) fail "$1 is not an option" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT[,HOST:PORT...] [--seconds N]"
command -v meridian >/dev/null ||
    fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
meridian() { command meridian --endpoint "$endpoint" "$@"; }
agree() {
    status=$(meridian status --output json 2>/dev/null | tr -d ' \n')
    ! echo "$status" | grep -q '"reachable":false' &&
        [ "$(echo "$status" | grep -o '"stateHash":"[0-9a-f]*"' | sort -u | wc -l)" = 1 ]
}

# The leader first: who is left never led.
voters=$(meridian cluster members | awk '$6 == "yes" { print ($5 == "leader" ? 0 : 1), $4 }' | sort | cut -d' ' -f2)
count=$(echo "$voters" | wc -l)
stop=$(echo "$voters" | head -n $((count / 2 + 1)))
left=$(echo "$voters" | tail -n 1)
[ "$count" -gt 1 ] || fail "a cluster of one voter has nobody left to ask"
pids=''
for address in $stop; do
    pid=$(ss -Hltnp "src = $address" | grep -o 'pid=[0-9]*' | head -n 1 | cut -d= -f2)
    [ -n "$pid" ] || fail "no process of this user listens on $address: a majority has to live on this machine"
    pids="$pids $pid"
done

say "stops $(echo "$stop" | wc -l) of $count voters for $seconds s: processes$pids"
# They go on however this script ends.
# shellcheck disable=SC2086 # several processes
trap 'kill -CONT $pids 2>/dev/null' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2086
kill -STOP $pids
sleep "$seconds"
command meridian --endpoint "$left" service list --stale >/dev/null || fail "$left does not answer what it knows"
if command meridian --endpoint "$left" service list --timeout 2s >/dev/null 2>&1; then
    fail "$left answers as if there were a majority"
fi
# shellcheck disable=SC2086
kill -CONT $pids
say "they go on"

tries=60
until agree; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "the agents do not agree within a minute: $(meridian status)"
    sleep 1
done
say "passed: no fresh answer without a majority, and one state after it"
