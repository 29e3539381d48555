//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plan::Store;

/// Submits asynchronous calls while everything they depend on is killed, and holds what became of them against what was
/// promised.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Notes what functions tell, in the network of their engine. Started by the harness itself.
    #[command(hide = true)]
    Witness {
        /// Where to write it down.
        notes: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which store to torture; again for another. All of them unless given.
    #[arg(long = "store", value_name = "STORE")]
    pub(crate) stores: Vec<Store>,
    /// What everything random is drawn from. A new one unless given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Calls to be accepted, for each store.
    #[arg(long, default_value_t = 5000)]
    pub(crate) calls: usize,
    /// Kills, for each store.
    #[arg(long, default_value_t = 60)]
    pub(crate) kills: usize,
    /// The server; the one that was built beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// Where logs go. They are kept when something was found.
    #[arg(long, default_value = "target/torture", value_name = "DIRECTORY")]
    pub(crate) output: PathBuf,
    /// The fixture's image.
    #[arg(long, default_value = "hearth/fixture:test")]
    pub(crate) image: String,
}
