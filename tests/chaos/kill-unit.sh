#!/bin/sh
# Kills a unit on this machine, and measures how long its agent takes to replace it.
#
#   tests/chaos/kill-unit.sh --endpoint HOST:PORT[,HOST:PORT...] [--unit SERVICE/REGION/SLOT]
#
# Without --unit, kills the first ready unit of this machine.
#
# Needs meridian on the unit's machine, and root if the unit runs as another user.
set -eu
. "$(dirname "$0")/lib.sh"

endpoint='' wanted=''
while [ $# -gt 1 ]; do
    case $1 in
        --endpoint) endpoint=$2 ;;
        --unit) wanted=$2 ;;
        *) fail "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$endpoint" ] || fail "usage: $0 --endpoint HOST:PORT [--unit SERVICE/REGION/SLOT]"
require_meridian

# Prints the unit, the incarnation and the pid of each ready unit.
ready() {
    rows unit list | grep '"state":"ready"' | while read -r row; do
        echo "$(echo "$row" | field unit) $(echo "$row" | field incarnation) $(echo "$row" | field pid)"
    done
}
# Succeeds if the process is this incarnation: the pid may have been reused, or be another machine's.
runs() { tr '\0' ' ' 2>/dev/null <"/proc/$2/cmdline" | grep -q -- "--incarnation $1 "; }

found=''
while read -r unit incarnation pid; do
    [ -z "$wanted" ] || [ "$unit" = "$wanted" ] || continue
    if runs "$incarnation" "$pid"; then found=yes; break; fi
done <<END
$(ready)
END
[ -n "$found" ] || fail "no ready unit of this machine matches: $(meridian unit list)"

say "killing $unit, process $pid"
killed=$(now)
kill -9 "$pid"
until ready | grep "^$unit " | grep -qv " $pid\$"; do
    [ $(($(now) - killed)) -lt 30000 ] || fail "not replaced within 30 s: $(meridian unit list)"
    sleep 0.1
done
say "passed: $unit is ready again after $(($(now) - killed)) ms"
