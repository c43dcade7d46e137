#!/bin/sh
# Builds the static binary that images are made of, target/image/meridian, without pulling anything.
# CARGO_TARGET_DIR moves what is kept for the next build, not the binary.
set -eu
cd "$(dirname "$0")/../.."

target=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-target}/static
echo "builds a static binary for $target"
# With a target, because the flag would otherwise hold for build scripts too.
RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --package meridian --target "$target" --target-dir "$built"
install -D "$built/$target/debug/meridian" target/image/meridian
strip target/image/meridian
