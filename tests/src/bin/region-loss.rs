//! Measures how the clients of a region move when it is killed, and return.
//!
//! ```text
//! cargo run --release -p meridian-tests --bin region-loss -- --runs 10
//! cargo run --release -p meridian-tests --bin region-loss -- --runs 10 --network wan
//! ```
//!
//! Each run starts three regions on loopback, profile `lan` unless another one is given. A client near `eastus` sends a request on a
//! new connection every 20 ms. It resolves the name once its time to live of 5 s has passed, not
//! earlier, by the name server of its region first, which has 500 ms to respond. The agent of the region
//! and its units get SIGKILL; later the agent is started again.
//!
//! | time | from | to |
//! | --- | --- | --- |
//! | first response without the region | the kill | the first response of a surviving name server without its address |
//! | last failed request | the kill | the end of the last request that failed |
//! | first request after the return | the restart of the agent | the first request that its region serves; afterwards the client must stay there |

use clap::Parser as _;
use meridian_tests::region_loss::{self, Options};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let report = region_loss::run(&Options::parse()).await?;
    print!("{report}");
    Ok(())
}
