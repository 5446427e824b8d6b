//! `winpv build`: makes the pack.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::drivers::{self, Arch};
use crate::pack::{self, Options};
use crate::progress::Progress;
use crate::setup::{self, Purpose};
use crate::sign::{self, Signer};
use crate::version::Epoch;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "\
Examples:
  winpv build                      makes dist/ from the sources in this folder
  winpv build --out /srv/winpv     makes the pack elsewhere
  winpv build --keys /etc/winpv    signs with a test certificate made earlier
  winpv build --sign pkcs12:code.p12 --sign-password-file pass --timestamp http://timestamp.example
                                   signs with a certificate of your own
  SOURCE_DATE_EPOCH=1700000000 winpv build
                                   dates the pack; the same sources and date give the same bytes";

/// Arguments of `build`.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// The folder to make; replaced as a whole if it is there [default: dist/ in the sources]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Which key signs.
    #[command(flatten)]
    pub sign: sign::Args,
    /// Print the list of files as JSON
    #[arg(long)]
    pub json: bool,
}

/// Makes the pack and prints what is in it.
///
/// # Errors
///
/// No sources here, a tool is missing, or a step fails; the old pack is then still there.
pub fn run(args: &Args) -> Result<bool> {
    let root = crate::root();
    ensure!(
        root.join("inf").is_dir() && root.join("rust-toolchain.toml").is_file(),
        "no WinPV sources in {} or above it: run this in a checkout of WinPV",
        root.display()
    );
    setup::require(Purpose::Pack)?;
    let files = pack(args)?;
    if args.json {
        let files: Vec<_> = files.iter().map(pack::Packed::json).collect();
        println!("{}", json!({ "files": files }));
    } else {
        pack::print_table(&files);
    }
    Ok(true)
}

/// Makes the pack; a certificate is made only in the default place.
///
/// # Errors
///
/// As [`run`].
pub fn pack(args: &Args) -> Result<Vec<pack::Packed>> {
    let root = crate::root();
    let signer = Signer::open(&args.sign, &root)?;
    // Two steps a package and two an MSI: compile and sign. The ISO is one.
    let steps = (drivers::packages().count() + 1) * Arch::ALL.len() * 2 + 1;
    pack::pack(&Options {
        root: &root,
        out: &args.out.clone().unwrap_or_else(|| pack::default_out(&root)),
        target_dir: &crate::target_dir(),
        signer: &signer,
        epoch: Epoch::find(&root)?,
        progress: &Progress::new(Some(steps as u64)),
    })
}
