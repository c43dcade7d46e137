#!/bin/sh
# Fuzzes one target without cargo-fuzz: run.sh TARGET SECONDS [LIBFUZZER-ARGUMENTS...].
# New inputs go to a temporary directory, so that the corpus stays small.
set -eu
target=$1
seconds=$2
shift 2
cd "$(dirname "$0")"
# The flags of cargo-fuzz without a sanitizer. With --target they do not apply to build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
    cargo build --release --quiet --target "$host" --bin "$target"
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
mkdir -p "artifacts/$target"
"${CARGO_TARGET_DIR:-target}/$host/release/$target" "$found" "corpus/$target" \
    "-artifact_prefix=artifacts/$target/" "-max_total_time=$seconds" -print_final_stats=1 "$@"
