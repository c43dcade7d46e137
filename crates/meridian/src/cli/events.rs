//! `meridian events`.

use clap::Args;

use super::count;

/// `meridian events`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  meridian events                        everything so far
  meridian events --from 120 --follow    from revision 120 on, and then as it happens
  meridian events -o json | head -n 1    one JSON object a line

--timeout bounds how long events may keep one waiting, not how long they take in all. A watch that
follows goes on at another agent where one is lost; it ends with Ctrl-C.")]
pub struct EventsArgs {
    /// Go on after the present end
    #[arg(long, short)]
    pub follow: bool,
    /// The first revision to show
    #[arg(long, value_name = "REVISION", default_value_t = 1, value_parser = count::parse_revision, allow_negative_numbers = true)]
    pub from: u64,
}
