//! `threadwork manual FOLDER`: man pages and shell completions, made of the command line itself.
//!
//! For who packages the program: a build with the feature `manual` knows the command.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

/// The command line of `threadwork manual`.
#[derive(Args)]
pub(crate) struct ManualArgs {
    /// Where to put them: `man1/` and `completions/` are made in it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes them, for this command line, and returns the code to exit with.
pub(crate) fn manual(args: &ManualArgs, mut command: Command) -> anyhow::Result<i32> {
    let write = |name: &str| {
        let folder = args.folder.join(name);
        let made = fs::create_dir_all(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        anyhow::Ok(folder)
    };
    let pages = write("man1")?;
    // Of `help` and each command under it there is nothing to say. Completions add them.
    let without_help = command.clone().disable_help_subcommand(true);
    clap_mangen::generate_to(without_help, &pages).context("cannot write the man pages")?;
    let completions = write("completions")?;
    for shell in Shell::value_variants() {
        let name = command.get_name().to_owned();
        clap_complete::generate_to(*shell, &mut command, name, &completions)
            .context("cannot write the completions")?;
    }
    Ok(0)
}
