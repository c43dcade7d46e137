#!/bin/sh
# Three regions in containers lose the network of their leader, and change meanwhile.
#
#   tests/chaos/compose.sh [--keep]
#
# Builds a static binary and its image without pulling anything, brings docker-compose.yml up as a
# project of its own, cuts the leader off, changes a region at a survivor, reconnects, and checks that
# all agents have the same state. --keep leaves the containers for a look around.
#
# Needs a Docker engine, docker compose or docker-compose 1.29, and a Rust toolchain. Without a Docker
# engine it says so and succeeds: there is nothing to be tested.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "compose.sh: $*"; }
fail() { say "FAILED: $*"; exit 1; }

docker info >/dev/null 2>&1 || { say "skipped: no Docker engine answers here"; exit 0; }
if docker compose version >/dev/null 2>&1; then
    compose() { docker compose --project-name meridian-chaos "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose --project-name meridian-chaos "$@"; }
else
    say "skipped: neither docker compose nor docker-compose is installed"
    exit 0
fi

tests/containers/build.sh

export MERIDIAN_BUILD=prebuilt
export MERIDIAN_ENDPOINTS=127.0.0.1:7400,127.0.0.1:7500,127.0.0.1:7600
meridian() { target/image/meridian "$@"; }

finish() {
    code=$?
    [ "$code" = 0 ] || compose logs --tail 40
    [ "${1:-}" = --keep ] || compose down --volumes --timeout 20 >/dev/null 2>&1
    exit "$code"
}
# Set before anything runs, so that an interrupted run leaves no containers either.
# shellcheck disable=SC2064 # the option as it is now
trap "finish ${1:-}" EXIT
trap 'exit 130' INT TERM

# Repeats a command, once a second, until it succeeds.
eventually() {
    limit=$1; shift
    while ! "$@" >/dev/null 2>&1; do
        limit=$((limit - 1))
        [ "$limit" -gt 0 ] || return 1
        sleep 1
    done
}
agents() { meridian status --output json | tr -d ' \n'; }
hashes() { agents | grep -o '"stateHash":"[0-9a-f]*"' | sort | uniq -c | awk '{ print $1 }'; }
agree() { [ "$(hashes)" = 3 ]; }
units() { meridian unit list --output json | grep -c '"state": *"ready"'; }
ready() { [ "$(units)" = "$1" ]; }

compose up --build --detach
eventually 60 meridian status || fail "no cluster within a minute"
meridian service create contoso --primary westeurope --wait --timeout 30s
meridian region add eastus --wait --timeout 30s
meridian region add southeastasia --wait --timeout 30s

leader=$(meridian cluster members | awk '/leader/ { print $0 }' | grep -oE 'westeurope|eastus|southeastasia' | head -n 1)
container=$(compose ps -q "$leader")
network=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$container")
say "cuts the leader, $leader, off its network"
docker network disconnect "$network" "$container"

case $leader in eastus) survivor=westeurope ;; *) survivor=eastus ;; esac
say "scales $survivor to 3 units at whoever answers"
meridian region scale "$survivor" --units 3 --wait --timeout 30s || fail "no change without the old leader"
ready 5 || fail "the cut-off region's unit is not counted: $(units) units are ready, not 5"

# What the leader serves goes on meanwhile, though nobody outside its container can reach it.
compose exec -T "$leader" /meridian region list --stale >/dev/null \
    || fail "the cut-off agent does not answer stale reads"
if compose exec -T "$leader" /meridian region scale "$survivor" --units 4 --timeout 3s 2>/dev/null; then
    fail "the cut-off agent took a change without a majority"
fi

say "reconnects it"
docker network connect --alias "$leader.meridian" "$network" "$container"
eventually 60 agree || fail "the agents do not agree within a minute: $(agents)"
meridian region scale "$leader" --units 2 --wait --timeout 30s || fail "the reconnected region does not follow"
ready 6 || fail "$(units) units are ready, not 6"
meridian status
say "passed: a change without the leader, none at the leader, and one state after it"
