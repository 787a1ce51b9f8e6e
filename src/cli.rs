//! What the command line takes. Every flag can also be given as `MERIDIAN_…`; flags win over the environment.

use clap::Args;
use std::path::PathBuf;

/// Check a manifest and report everything that is wrong with it
///
/// Prints every problem as file:line:column, the key, the value, what is allowed and the fix, and then how much load
/// each region carries while any one and any two others are down. A manifest in which a single failure brings any
/// region above 2x its normal load is refused, and a split that avoids it is proposed. Above 2x in a double failure,
/// the excess is shed.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian check
  meridian check --manifest staging.yaml
  meridian check --json | jq '.load_factors[] | select(.factor > 2)'

Exit codes:
  0  the manifest is fine
  1  problems were found
  2  the command line is wrong
  3  the file cannot be read")]
pub struct CheckArgs {
    /// The manifest of the fleet
    #[arg(long, value_name = "FILE", env = "MERIDIAN_MANIFEST", default_value = "regions/meridian.yaml")]
    pub manifest: PathBuf,

    /// Print one JSON object: ok, problems, load_factors
    #[arg(long)]
    pub json: bool,
}
