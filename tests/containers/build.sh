#!/bin/sh
# Builds the static binary of the images, target/image/meridian, without pulling images.
# CARGO_TARGET_DIR moves the build cache, not the binary.
set -eu
cd "$(dirname "$0")/../.."

target=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-target}/static
echo "building a static binary for $target"
# With --target, because otherwise the flags would also apply to build scripts.
RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --package meridian --target "$target" --target-dir "$built"
install -D "$built/$target/debug/meridian" target/image/meridian
strip target/image/meridian
