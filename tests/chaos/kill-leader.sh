#!/bin/sh
# Kills the leader's agent, on this machine, and measures how long the cluster has no leader.
#
#   tests/chaos/kill-leader.sh --endpoint HOST:PORT[,HOST:PORT...]
#
# Name several agents, because the contacted agent may be the one that is killed. Afterwards the script
# restarts the agent with the same command line, unless something else does within five seconds, and
# waits until all agents agree.
#
# Needs meridian and ss on the leader's machine, and root if the agent runs as another user.
set -eu
. "$(dirname "$0")/lib.sh"

[ "${1:-}" = --endpoint ] && [ $# = 2 ] || fail "usage: $0 --endpoint HOST:PORT[,HOST:PORT...]"
endpoint=$2
require_meridian

old=$(leader) || fail "there is no leader, or $endpoint is unreachable"
name=${old% *} address=${old#* }
pid=$(listener "$address")
[ -n "$pid" ] || fail "no process of this user listens on $address: run this on the machine of $name"
saved=$(mktemp -d)
trap 'rm -rf "$saved"' EXIT
cp "/proc/$pid/cmdline" "$saved/line"
directory=$(readlink "/proc/$pid/cwd")

say "killing $name, process $pid"
killed=$(now)
kill -9 "$pid"
until new=$(leader) && [ "$new" != "$old" ]; do
    [ $(($(now) - killed)) -lt 30000 ] || fail "no new leader within 30 s"
    sleep 0.05
done
say "${new% *} is the leader after $(($(now) - killed)) ms"

sleep 5
if [ -z "$(ss -Hltn "src = $address")" ]; then
    say "restarting $name"
    (cd "$directory" && exec xargs -0 setsid <"$saved/line" >/dev/null 2>&1) &
fi
wait_until_agreed
say "passed: a new leader, and the same state on all agents"
