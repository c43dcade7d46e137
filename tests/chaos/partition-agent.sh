#!/bin/sh
# Cuts the agents of this machine off all others for a while. Clients still reach them.
#
#   tests/chaos/partition-agent.sh --endpoint HOST:PORT [--seconds N] [--peer-port PORT]
#
# The endpoint is an agent of this machine. While it is cut off, for N seconds, 10 by default, it has to
# answer what it knows and to refuse what needs a majority. Then the script waits until all agents agree.
# The rules go however the script ends; where it is killed, `iptables -S | grep meridian-chaos` shows
# what is left.
#
# Needs root, iptables and meridian. The peer port is that of all agents, 7401 by default.
set -eu

say() { printf '%s\n' "partition-agent.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }
endpoint='' seconds=10 port=7401
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --seconds) seconds=$2 ;;
        --peer-port) port=$2 ;;
        *) fail "$1 is not an option" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT [--seconds N] [--peer-port PORT]"
[ "$(id -u)" = 0 ] || fail "cutting the network takes root"
command -v meridian >/dev/null ||
    fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
meridian() { command meridian --endpoint "$endpoint" "$@"; }
agree() {
    status=$(meridian status --output json 2>/dev/null | tr -d ' \n')
    ! echo "$status" | grep -q '"reachable":false' &&
        [ "$(echo "$status" | grep -o '"stateHash":"[0-9a-f]*"' | sort -u | wc -l)" = 1 ]
}
rules() {
    for chain in INPUT OUTPUT; do
        for side in --dport --sport; do
            iptables -w "$1" "$chain" -p tcp "$side" "$port" \
                -m comment --comment meridian-chaos -j DROP 2>/dev/null || return 1
        done
    done
}

agree || fail "the agents do not agree before the cut, or $endpoint does not answer"
say "cuts port $port off for $seconds s"
trap 'rules -D || true' EXIT
trap 'exit 130' INT TERM
rules -I || fail "iptables takes no rule"
sleep "$seconds"
meridian service list --stale >/dev/null || fail "the agent does not answer what it knows"
if meridian service list --timeout 2s >/dev/null 2>&1; then
    fail "the agent answers as if it knew what the others do: is it cut off? is the port $port?"
fi
rules -D
trap - EXIT
say "connects it again"

left=60
until agree; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "the agents do not agree within a minute: $(meridian status)"
    sleep 1
done
say "passed: no fresh answer while cut off, and one state after it"
