# Functions of the scripts in this directory, which source it. Not a standalone script.

script=$(basename "$0")
say() { printf '%s\n' "$script: $*"; }
fail() { say "FAILED: $*"; exit 1; }
# Milliseconds since the epoch.
now() { date +%s%3N; }

require_meridian() {
    command -v meridian >/dev/null ||
        fail 'meridian is not on the PATH: export PATH="$PWD/target/release:$PATH"'
}
# Runs the command line against the agents of --endpoint.
meridian() { command meridian "$@" --endpoint "$endpoint"; }

# Runs a command and prints its JSON list, one object per line and without spaces.
rows() { meridian "$@" --output json 2>/dev/null | tr -d ' \n' | sed 's/},{/}\n{/g'; }
# Prints a field of each object on standard input.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

# Prints the name and the client address of the leader.
leader() {
    row=$(rows cluster members | grep '"role":"leader"') || return 1
    echo "$(echo "$row" | field agent) $(echo "$row" | field address)"
}
# Succeeds if all agents are reachable and have the same state.
agree() {
    status=$(meridian status --output json 2>/dev/null | tr -d ' \n')
    ! echo "$status" | grep -q '"reachable":false' &&
        [ "$(echo "$status" | grep -o '"stateHash":"[0-9a-f]*"' | sort -u | wc -l)" = 1 ]
}
# Waits up to a minute until all agents agree.
wait_until_agreed() {
    tries=60
    until agree; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "the agents do not agree within a minute: $(meridian status)"
        sleep 1
    done
}
# Prints the pid of the process of this user that listens on an address.
listener() { ss -Hltnp "src = $1" | grep -o 'pid=[0-9]*' | head -n 1 | cut -d= -f2; }
