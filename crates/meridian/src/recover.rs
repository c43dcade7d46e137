//! `meridian recover`: shows and recovers the data directory of a stopped agent.
//!
//! The command holds the lock of the directory, so the agent cannot run meanwhile. It changes nothing
//! without `--readdress` or `--force-new-cluster`; how these recover a cluster is documented in
//! [`meridian_storage::disk::addresses`] and [`meridian_storage::recovery`].

mod force;
mod offline;
mod readdress;
mod view;

use std::process::ExitCode;

use crate::cli::RecoverArgs;
use crate::client::{Failure, Output};
use offline::Offline;
use view::RecoverView;

/// Runs the command and returns the exit code.
pub fn run(args: RecoverArgs) -> ExitCode {
    meridian_process::restrict_new_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Failure::Runtime).and_then(|runtime| {
        let result = runtime.block_on(recover(args));
        // A pending name resolution must not delay the exit.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.into_exit_code(),
    }
}

async fn recover(args: RecoverArgs) -> Result<(), Failure> {
    let mut offline = Offline::open(&args.data_dir).await?;
    let changed = change(&mut offline, &args).await;
    let view = RecoverView::of(&offline);
    // The change is what counts, however the closing ends; a failed one is reported by the agent.
    let closed = offline.close().await;
    changed?;
    closed?;
    let output = Output::new(args.output);
    output.one(&view, |view| view.text(output))
}

async fn change(offline: &mut Offline, args: &RecoverArgs) -> Result<(), Failure> {
    let addresses = readdress::resolve(offline, &args.readdress)?;
    match &args.reason {
        Some(reason) => force::new_cluster(offline, &addresses, reason, args.confirm.yes).await,
        None if addresses.is_empty() => Ok(()),
        None => readdress::store(offline, addresses),
    }
}
