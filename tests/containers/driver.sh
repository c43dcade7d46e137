#!/bin/sh
# Runs the tests of the Docker driver with real containers.
#
#   tests/containers/driver.sh [TEST...]
#
# Builds the images without pulling any, runs the tests whose names contain one of the arguments (by
# default all tests of the driver), and removes the images and remaining containers. Needs a Docker
# engine and a Rust toolchain. Without an engine, it prints that it skips the tests, and succeeds.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "driver.sh: $*"; }

docker info >/dev/null 2>&1 || { say "skipped: no Docker engine is reachable"; exit 0; }

# Unique to this run, because several runs may share the engine.
MERIDIAN_TEST_IMAGE=meridian-test-$$
export MERIDIAN_TEST_IMAGE
# Containers inherit this label from their image.
label=test.meridian=$MERIDIAN_TEST_IMAGE

finish() {
    docker ps --all --quiet --filter "label=$label" \
        | xargs --no-run-if-empty docker rm --force >/dev/null
    docker images --quiet --filter "label=$label" \
        | xargs --no-run-if-empty docker rmi --force >/dev/null
}
trap finish EXIT
trap 'exit 130' INT TERM

tests/containers/build.sh
docker build --quiet --label "$label" --target prebuilt --tag "$MERIDIAN_TEST_IMAGE:unit" \
    --file deploy/Dockerfile .

rustc --edition 2024 -C target-feature=+crt-static -o target/image/unlucky tests/containers/unlucky.rs
for tag in failing greedy; do
    tar --create --directory target/image unlucky \
        | docker import --change "LABEL $label" \
            --change "ENTRYPOINT [\"/unlucky\", \"$tag\"]" - "$MERIDIAN_TEST_IMAGE:$tag"
done

# --workspace only selects the same features as other builds of the workspace, so that nothing is built
# again.
cargo test --locked --workspace --features meridian/docker --test driver -- "${@:-docker::}"
