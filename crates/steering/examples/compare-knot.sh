#!/usr/bin/env bash
# Compares the name server with knot and its geoip module, under load by dnsperf, in alternating runs.
# Server and client have a core each. The figure to compare is the number of responses per second of CPU
# time of the server, which does not depend on the client or on other load.
#
#     cargo build --release -p meridian-steering --example name_server
#     crates/steering/examples/compare-knot.sh target/release/examples/name_server [ROUNDS]
#
# Needs knot, knot-module-geoip and dnsperf.
set -euo pipefail

program=$1
rounds=${2:-3}
seconds=5
directory=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -r "$directory"' EXIT

cat > "$directory/geo.conf" <<END
contoso.gateways.example.net:
  - net: 10.0.0.0/8
    A: [198.51.100.7]
  - net: 127.0.0.0/8
    A: [203.0.113.1, 203.0.113.2]
END
cat > "$directory/zone" <<'END'
$ORIGIN gateways.example.net.
$TTL 5
@ IN SOA eu-1.ns hostmaster 1 86400 7200 3600000 5
@ IN NS eu-1.ns
eu-1.ns IN A 203.0.113.1
contoso IN A 203.0.113.1
END
cat > "$directory/knot.conf" <<END
server:
    rundir: "$directory"
    listen: 127.0.0.1@5301
    udp-workers: 2
    pidfile: "$directory/knot.pid"
database:
    storage: "$directory/db"
mod-geoip:
  - id: geo
    config-file: $directory/geo.conf
    ttl: 5
    mode: subnet
zone:
  - domain: gateways.example.net
    file: $directory/zone
    module: mod-geoip/geo
    zonefile-sync: -1
END
echo contoso.gateways.example.net A > "$directory/plain"
for number in {1..10000}; do echo "unknown-$number.gateways.example.net A"; done > "$directory/unknown"

taskset -c 0 knotd -c "$directory/knot.conf" > "$directory/knot.log" 2>&1 &
pids+=($!)
taskset -c 0 "$program" 127.0.0.1:5302 > "$directory/meridian.log" 2>&1 &
pids+=($!)
sleep 2

# Prints the number of clock ticks of CPU time of a process.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# measure NAME PID PORT QUERIES [OPTION...]
measure() {
    local before output completed rate used
    before=$(ticks "$2")
    output=$(taskset -c 1 dnsperf -s 127.0.0.1 -p "$3" -d "$directory/$4" -l $seconds -c 16 -T 1 -q 500 "${@:5}")
    used=$(($(ticks "$2") - before))
    completed=$(awk '/Queries completed/ { print $3 }' <<< "$output")
    rate=$(awk '/Queries per second/ { printf "%d", $4 }' <<< "$output")
    printf '%-10s %7d responses/s %8d responses/s of CPU time\n' "$1" "$rate" \
        $((completed * $(getconf CLK_TCK) / used))
}

subnet=(-e -E 8:000118000a0102)
for ((round = 1; round <= rounds; round++)); do
    echo "round $round: one name"
    measure knot "${pids[0]}" 5301 plain
    measure meridian "${pids[1]}" 5302 plain
    echo "round $round: one name with a client subnet"
    measure knot "${pids[0]}" 5301 plain "${subnet[@]}"
    measure meridian "${pids[1]}" 5302 plain "${subnet[@]}"
    echo "round $round: names that do not exist"
    measure knot "${pids[0]}" 5301 unknown
    measure meridian "${pids[1]}" 5302 unknown
done
