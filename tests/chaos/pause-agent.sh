#!/bin/sh
# Pauses an agent's process, like a machine that hangs: no other agent is notified.
#
#   tests/chaos/pause-agent.sh --endpoint HOST:PORT[,HOST:PORT...] --agent NAME [--seconds N]
#
# Name several endpoints, because the paused agent does not respond. Its units keep serving. After N
# seconds (default 5), the script resumes it and waits until all agents agree.
#
# Needs meridian and ss on the agent's machine, and root if the agent runs as another user.
set -eu
. "$(dirname "$0")/lib.sh"

endpoint='' agent='' seconds=5
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --agent) agent=$2 ;;
        --seconds) seconds=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] && [ -n "$agent" ] || fail "usage: $0 --endpoint HOST:PORT --agent NAME [--seconds N]"
require_meridian

address=$(rows cluster members | grep "\"agent\":\"$agent\"" | field address)
[ -n "$address" ] || fail "the cluster has no agent $agent"
pid=$(listener "$address")
[ -n "$pid" ] || fail "no process of this user listens on $address: run this on the machine of $agent"

say "pausing $agent, process $pid, for $seconds s"
# Resumes it however this script ends.
trap 'kill -CONT "$pid" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
kill -STOP "$pid"
sleep "$seconds"
meridian cluster members --timeout 20s || fail "the other agents do not respond"
meridian region catalog >/dev/null || fail "the other agents do not respond"
kill -CONT "$pid"
say "resumed $agent"

wait_until_agreed
say "passed: the other agents kept serving, and all agents have the same state"
