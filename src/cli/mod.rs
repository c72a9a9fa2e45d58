//! The command line: one file per command.

pub mod actions;
pub mod alerts;
pub mod audit;
pub mod backtest;
pub mod backup;
pub mod check;
mod classical;
pub mod client;
pub mod context;
pub mod demo;
pub mod explain;
mod floors;
mod halves;
pub mod health;
mod history;
pub mod model;
pub mod outbox;
pub mod reference;
pub mod replay;
pub mod restore;
pub mod run;
pub mod schema;
mod table;
pub mod token;
mod topic;
mod topic_events;
pub mod tune;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use context::CliContext;

use crate::app::in_one_line;

/// Exit code of a failure.
const FAILURE: u8 = 1;

/// An anchor watch for machine-learning models in production.
#[derive(Debug, Parser)]
#[command(name = "anchorwatch", version, max_term_width = 110)]
pub struct Cli {
    /// Folder of the state file and the references, for the commands that work on them.
    #[arg(long, global = true, env = "ANCHORWATCH_DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches the models of a configuration file until told to stop.
    Run(run::RunCommand),
    /// Replays seven months of a real model: no Kafka, no configuration.
    Demo(demo::DemoCommand),
    Check(check::CheckCommand),
    /// Builds and shows references.
    Reference(reference::ReferenceCommand),
    Backtest(backtest::BacktestCommand),
    Replay(replay::ReplayCommand),
    Tune(tune::TuneCommand),
    Explain(explain::ExplainCommand),
    /// Shows models and moves versions between stages.
    Model(model::ModelCommand),
    /// Alerts of a running daemon: list, acknowledge, silence; and where an alert would go.
    Alerts(alerts::AlertsCommand),
    Outbox(outbox::OutboxCommand),
    /// Copies the state to a folder or an object store.
    Backup(backup::BackupCommand),
    /// Puts the newest good copy of the state in place.
    Restore(restore::RestoreCommand),
    Schema(schema::SchemaCommand),
    Actions(actions::ActionsCommand),
    Audit(audit::AuditCommand),
    /// Asks whether a running daemon lives; for container health checks.
    Health(health::HealthCommand),
    /// Makes bearer tokens for the API.
    Token(token::TokenCommand),
}

impl Cli {
    /// Runs the command and gives the exit code: 0 done, 1 failed, 64 bad configuration.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let context = CliContext { data_dir: self.data_dir };
        let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
        let outcome = match self.command {
            Command::Check(command) => command.run(&mut out, &mut err).map_err(Into::into),
            Command::Schema(command) => command.run(&mut out).map(|()| ExitCode::SUCCESS).map_err(Into::into),
            Command::Actions(command) => command.run_to(&mut out).map(|()| ExitCode::SUCCESS),
            Command::Audit(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
            Command::Health(command) => command.run_to(&mut out).map(|()| ExitCode::SUCCESS),
            Command::Token(command) => command.run_to(&mut out).map(|()| ExitCode::SUCCESS),
            Command::Run(command) => command.run(),
            Command::Demo(command) => command.run(&mut out).map(|()| ExitCode::SUCCESS),
            Command::Backtest(command) => {
                command.run_to(&context, &mut out, &mut err).map(|()| ExitCode::SUCCESS)
            }
            Command::Replay(command) => {
                command.run_to(&context, &mut out, &mut err).map(|()| ExitCode::SUCCESS)
            }
            Command::Tune(command) => {
                command.run_to(&context, &mut out, &mut err).map(|()| ExitCode::SUCCESS)
            }
            Command::Explain(command) => {
                command.run_to(&context, &mut out, &mut err).map(|()| ExitCode::SUCCESS)
            }
            Command::Reference(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
            Command::Alerts(command) => command.run(&mut out).map(|()| ExitCode::SUCCESS),
            Command::Backup(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
            Command::Restore(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
            Command::Model(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
            Command::Outbox(command) => command.run_to(&context, &mut out).map(|()| ExitCode::SUCCESS),
        };
        outcome.unwrap_or_else(|error| {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(err, "anchorwatch: {}", in_one_line(&error));
            ExitCode::from(FAILURE)
        })
    }
}
