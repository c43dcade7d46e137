#!/bin/sh
# Kills the agent that leads, on this machine, and measures how long the cluster is without a leader.
#
#   tests/chaos/kill-leader.sh --endpoint HOST:PORT[,HOST:PORT...]
#
# Name several agents: the one that is asked may be the one that is killed. Then starts the agent again
# as it was started, unless somebody else does within five seconds, and waits until all agents agree.
#
# Needs meridian, ss and awk, on the leader's machine; root only where the agent is another user's.
set -eu

say() { printf '%s\n' "kill-leader.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }
now() { date +%s%3N; }
[ "${1:-}" = --endpoint ] && [ $# = 2 ] || fail "usage: $0 --endpoint HOST:PORT[,HOST:PORT...]"
command -v meridian >/dev/null ||
    fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
meridian() { command meridian --endpoint "$endpoint" "$@"; }
endpoint=$2

leader() { meridian cluster members 2>/dev/null | awk '$5 == "leader" { print $2, $4 }'; }
agree() {
    status=$(meridian status --output json 2>/dev/null | tr -d ' \n')
    ! echo "$status" | grep -q '"reachable":false' &&
        [ "$(echo "$status" | grep -o '"stateHash":"[0-9a-f]*"' | sort -u | wc -l)" = 1 ]
}

old=$(leader)
[ -n "$old" ] || fail "no agent leads, or $endpoint does not answer"
name=${old% *} address=${old#* }
pid=$(ss -Hltnp "src = $address" | grep -o 'pid=[0-9]*' | head -n 1 | cut -d= -f2)
[ -n "$pid" ] || fail "no process of this user listens on $address: run this on the machine of $name"
saved=$(mktemp -d)
trap 'rm -rf "$saved"' EXIT
cp "/proc/$pid/cmdline" "$saved/line"
directory=$(readlink "/proc/$pid/cwd")

say "kills $name, process $pid"
killed=$(now)
kill -9 "$pid"
until new=$(leader) && [ -n "$new" ] && [ "$new" != "$old" ]; do
    [ $(($(now) - killed)) -lt 30000 ] || fail "nobody leads after 30 s"
    sleep 0.05
done
say "${new% *} leads after $(($(now) - killed)) ms"

sleep 5
if [ -z "$(ss -Hltn "src = $address")" ]; then
    say "starts $name again"
    (cd "$directory" && exec xargs -0 setsid <"$saved/line" >/dev/null 2>&1) &
fi
until agree; do
    [ $(($(now) - killed)) -lt 60000 ] || fail "the agents do not agree: $(meridian status)"
    sleep 0.5
done
say "passed: another leader, and one state at all agents"
