//! What `meridian get` takes.

use super::ManifestArg;
use clap::Args;

/// Get ids from the nearest region that gives them, failing over to the next
///
/// With --region the manifest says where: that region first, then those of its order, none outside its residency zone.
/// With --target the list is yours, in this order. A region that refuses, hangs or is gone costs one short attempt, and
/// the next one is asked.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian get --region us-east
  meridian get 1000 --target http://127.0.1.1:8080,http://127.0.2.1:8080
  meridian get 3 --json --region apac

Exit codes:
  0  all ids were printed
  1  the manifest has problems
  2  the command line is wrong
  3  no region gave ids in time; those that came before are printed")]
pub struct GetArgs {
    /// How many ids
    #[arg(value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,

    /// The region to ask first; the manifest says which follow
    #[arg(long, value_name = "NAME", env = "MERIDIAN_REGION", required_unless_present = "targets")]
    pub region: Option<String>,

    /// Where to ask instead, in this order, as http://host:port; a name may stand for several addresses
    #[arg(id = "targets", long = "target", value_name = "URL", value_delimiter = ',')]
    pub targets: Vec<String>,

    #[command(flatten)]
    pub manifest: ManifestArg,

    /// How long ids may take to come
    #[arg(long, value_name = "S", env = "MERIDIAN_TIMEOUT", default_value_t = 5.0, value_parser = seconds)]
    pub timeout: f64,

    /// Print one JSON array of strings
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds, 0.001 to 3600".into()),
    }
}
