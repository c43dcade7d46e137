#!/bin/sh
# Partitions the leader of three containers, and changes a region meanwhile.
#
#   tests/chaos/compose.sh [--keep]
#
# Builds a static binary and its image without pulling images, starts docker-compose.yml as a
# separate project, checks the first look (the service contoso, the API echo, URLs that work from
# the host), disconnects the leader from its network, changes a region through a remaining agent,
# reconnects, and checks that all agents have the same state. --keep leaves the containers running.
#
# Needs a Docker engine, docker compose or docker-compose 1.29, curl, a Rust toolchain, and the addresses
# of docker-compose.yml, which `meridian dev` uses too. Without a Docker engine, it prints that it skips
# the test, and succeeds.
set -eu
cd "$(dirname "$0")/../.."
. tests/chaos/lib.sh

docker info >/dev/null 2>&1 || { say "skipped: no Docker engine is reachable"; exit 0; }
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
# The default endpoints are those of docker-compose.yml.
unset MERIDIAN_ENDPOINTS
meridian() { target/image/meridian "$@"; }

finish() {
    code=$?
    [ "$code" = 0 ] || compose logs --tail 40
    rm -f "$regions"
    [ "${1:-}" = --keep ] || compose down --volumes --timeout 20 >/dev/null 2>&1
    exit "$code"
}
regions=$(mktemp)
# Set before anything is started, so that an interrupted run leaves no containers either.
# shellcheck disable=SC2064 # the option as it is now
trap "finish ${1:-}" EXIT
trap 'exit 130' INT TERM

# Retries a command once per second until it succeeds.
eventually() {
    limit=$1; shift
    while ! "$@" >/dev/null 2>&1; do
        limit=$((limit - 1))
        [ "$limit" -gt 0 ] || return 1
        sleep 1
    done
}
units() { rows unit list | grep -c '"state":"ready"'; }
ready() { [ "$(units)" = "$1" ]; }
others_ready() {
    [ "$(rows unit list | grep -v "\"region\":\"$leader\"" | grep -c '"state":"ready"')" = "$1" ]
}
echoes() { curl --silent --fail --max-time 5 "$1/echo" | grep -q "\"region\": \"$2\""; }

compose up --build --detach
eventually 60 echoes http://127.0.1.1:8080 westeurope || fail "the API echo is not served within a minute"
meridian region add eastus --wait --wait-timeout 30s
meridian region add southeastasia --wait --wait-timeout 30s
rows region list >"$regions"
while read -r row; do
    region=$(echo "$row" | field region) url=$(echo "$row" | field gatewayUrl)
    eventually 10 echoes "$url" "$region" || fail "the URL of $region does not work from the host: $url"
done <"$regions"
say "the first look works: the API echo in three regions"

name=$(leader) || fail "there is no leader: $(meridian status)"
leader=${name%-1 *}
container=$(compose ps -q "$leader")
network=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$container")
say "disconnecting the leader, $leader, from its network"
docker network disconnect "$network" "$container"

case $leader in eastus) survivor=westeurope ;; *) survivor=eastus ;; esac
say "scaling $survivor to 3 units through a remaining agent"
meridian region scale "$survivor" --units 3 --wait --timeout 30s || fail "no change without the old leader"
[ "$(rows unit list | grep -c .)" = 5 ] || fail "not 5 units: $(meridian unit list)"
eventually 10 others_ready 4 || fail "not 4 units of the other regions are ready: $(meridian unit list)"

# The partitioned agent keeps serving stale reads, and refuses changes.
compose exec -T "$leader" /meridian region list --stale >/dev/null \
    || fail "the partitioned agent refuses a stale read"
if compose exec -T "$leader" /meridian region scale "$survivor" --units 4 --timeout 3s 2>/dev/null; then
    fail "the partitioned agent accepted a change without a quorum"
fi

say "reconnecting it"
docker network connect --alias "$leader.meridian" "$network" "$container"
eventually 60 agree || fail "the agents do not agree within a minute: $(meridian status)"
meridian region scale "$leader" --units 2 --wait --timeout 30s || fail "the reconnected region does not follow"
eventually 10 ready 6 || fail "$(units) units are ready, not 6"
meridian status
say "passed: a change without the leader, none through it, and the same state on all agents"
