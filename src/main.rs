//! The program: everything is in the library, so that tests and benches can reach it.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    anchorwatch::cli::Cli::parse().run()
}
