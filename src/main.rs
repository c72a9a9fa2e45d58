//! The program: everything is in the library, so that tests and benches can reach it.

use clap::Parser as _;
use mimalloc::MiMalloc;

// Judging makes and drops many small values; the system's allocator took a third of an edge's time
// (`docs/decisions/0076-an-allocator-of-our-own.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    anchorwatch::cli::Cli::parse().run()
}
