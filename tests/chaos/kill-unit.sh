#!/bin/sh
# Kills a unit that runs on this machine, and measures how long its agent takes to replace it.
#
#   tests/chaos/kill-unit.sh --endpoint HOST:PORT[,HOST:PORT...] [--unit SERVICE/REGION/SLOT]
#
# Without --unit, takes the first unit that is ready and runs here.
#
# Needs meridian and awk, on the unit's machine; root only where the unit is another user's.
set -eu

say() { printf '%s\n' "kill-unit.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }
now() { date +%s%3N; }
endpoint='' wanted=''
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --unit) wanted=$2 ;;
        *) fail "$1 is not an option" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT [--unit SERVICE/REGION/SLOT]"
command -v meridian >/dev/null ||
    fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
meridian() { command meridian --endpoint "$endpoint" "$@"; }

# The unit, its assignment and its process, for each unit that is ready.
ready() { meridian unit list | awk '$4 == "ready" { print $1, $2, $5 }'; }
# Whether the process is that very assignment: a number may be another process by now.
runs() { tr '\0' ' ' 2>/dev/null <"/proc/$2/cmdline" | grep -q -- "--incarnation $1 "; }

found=''
while read -r unit incarnation pid; do
    [ -z "$wanted" ] || [ "$unit" = "$wanted" ] || continue
    if runs "$incarnation" "$pid"; then found=yes; break; fi
done <<END
$(ready)
END
[ -n "$found" ] || fail "no such unit is ready and runs on this machine: $(meridian unit list)"

say "kills $unit, process $pid"
killed=$(now)
kill -9 "$pid"
until ready | awk -v unit="$unit" -v pid="$pid" '$1 == unit && $3 != pid { found = 1 } END { exit !found }'; do
    [ $(($(now) - killed)) -lt 30000 ] || fail "it is not replaced within 30 s: $(meridian unit list)"
    sleep 0.1
done
say "passed: $unit is ready again after $(($(now) - killed)) ms"
