#!/bin/sh
# The tests of the Docker driver, with real containers of a static binary.
#
#   tests/containers/driver.sh [TEST...]
#
# Builds the images without pulling anything, runs the tests whose names have one of the words given
# (all of the driver's by default), and removes the images and whatever containers are left. Needs a
# Docker engine and a Rust toolchain. Without an engine it says so and succeeds: there is nothing to be
# tested.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "driver.sh: $*"; }

docker info >/dev/null 2>&1 || { say "skipped: no Docker engine answers here"; exit 0; }

# Of this run alone: others may run on the same engine.
MERIDIAN_TEST_IMAGE=meridian-test-$$
export MERIDIAN_TEST_IMAGE
# What containers have from their image.
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

# The whole workspace is named for its features alone: with others, all of it would be built again.
cargo test --locked --workspace --features meridian/docker --test driver -- "${@:-docker::}"
