#!/bin/sh
# Partitions the agents of this machine from all others. Clients still reach them.
#
#   tests/chaos/partition-agent.sh --endpoint HOST:PORT [--seconds N] [--peer-port PORT]
#
# The endpoint is an agent of this machine. While it is partitioned, for N seconds (default 10), it must
# serve stale reads and refuse linearizable ones. Then the script waits until all agents agree. It removes
# its rules however it ends; after a kill -9, find them with `iptables -S | grep meridian-chaos`.
#
# Needs root, iptables and meridian. All agents must use the same peer port (default 7401).
set -eu
. "$(dirname "$0")/lib.sh"

endpoint='' seconds=10 port=7401
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --seconds) seconds=$2 ;;
        --peer-port) port=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT [--seconds N] [--peer-port PORT]"
[ "$(id -u)" = 0 ] || fail "this needs root"
require_meridian
rules() {
    for chain in INPUT OUTPUT; do
        for side in --dport --sport; do
            iptables -w "$1" "$chain" -p tcp "$side" "$port" \
                -m comment --comment meridian-chaos -j DROP 2>/dev/null || return 1
        done
    done
}

agree || fail "the agents do not agree before the partition, or $endpoint is unreachable"
say "blocking port $port for $seconds s"
trap 'rules -D || true' EXIT
trap 'exit 130' INT TERM
rules -I || fail "iptables refuses a rule"
sleep "$seconds"
meridian service list --stale >/dev/null || fail "the agent refuses a stale read"
if meridian service list --timeout 2s >/dev/null 2>&1; then
    fail "the agent serves a linearizable read: is it partitioned? is the peer port $port?"
fi
rules -D
trap - EXIT
say "unblocked"

wait_until_agreed
say "passed: no linearizable read during the partition, and the same state on all agents"
