#!/bin/sh
# Stops an agent's process for a while, as a machine that hangs does: nobody else is told.
#
#   tests/chaos/pause-agent.sh --endpoint HOST:PORT[,HOST:PORT...] --agent NAME [--seconds N]
#
# Name several agents to ask: the one that is stopped does not answer. Its gateways go on serving.
# After N seconds, 5 by default, it goes on, and the script waits until all agents agree.
#
# Needs meridian, ss and awk, on the agent's machine; root only where the agent is another user's.
set -eu

say() { printf '%s\n' "pause-agent.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }
endpoint='' agent='' seconds=5
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --agent) agent=$2 ;;
        --seconds) seconds=$2 ;;
        *) fail "$1 is not an option" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] && [ -n "$agent" ] || fail "usage: $0 --endpoint HOST:PORT --agent NAME [--seconds N]"
command -v meridian >/dev/null ||
    fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
meridian() { command meridian --endpoint "$endpoint" "$@"; }
agree() {
    status=$(meridian status --output json 2>/dev/null | tr -d ' \n')
    ! echo "$status" | grep -q '"reachable":false' &&
        [ "$(echo "$status" | grep -o '"stateHash":"[0-9a-f]*"' | sort -u | wc -l)" = 1 ]
}

address=$(meridian cluster members | awk -v agent="$agent" '$2 == agent { print $4 }')
[ -n "$address" ] || fail "the cluster has no agent $agent"
pid=$(ss -Hltnp "src = $address" | grep -o 'pid=[0-9]*' | head -n 1 | cut -d= -f2)
[ -n "$pid" ] || fail "no process of this user listens on $address: run this on the machine of $agent"

say "stops $agent, process $pid, for $seconds s"
# Goes on however this script ends.
trap 'kill -CONT "$pid" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
kill -STOP "$pid"
sleep "$seconds"
meridian cluster members --timeout 20s || fail "the others do not answer"
meridian region catalogue >/dev/null || fail "the others do not answer"
kill -CONT "$pid"
say "$agent goes on"

left=60
until agree; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "the agents do not agree within a minute: $(meridian status)"
    sleep 1
done
say "passed: the others went on, and all agents have one state"
