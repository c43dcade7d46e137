//! Compiles the contracts under `proto/` without protoc.

use std::path::{Path, PathBuf};
use std::{env, fs};

const CONTRACTS: [&str; 4] = [
    "meridian/v1/admin.proto",
    "meridian/v1/routing.proto",
    "meridian/v1/peer.proto",
    "meridian/v1/control.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let contracts = protox::compile(CONTRACTS, [&root])?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("meridian.bin");
    fs::write(descriptors, prost::Message::encode_to_vec(&contracts))?;
    tonic_prost_build::configure().bytes(".meridian.v1").compile_fds(contracts)?;
    Ok(())
}
