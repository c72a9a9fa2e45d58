//! `anchorwatch actions`: list, show, approve, refuse, report an outcome, suspend, resume.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::{Client, ClientArgs};
use super::table::{Output, when, write_json, write_table};

/// Retrainings and rollbacks of a running daemon.
#[derive(Debug, Args)]
pub struct ActionsCommand {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List requests, what a guard holds, and whether actions are suspended.
    List {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show one request with its evidence.
    Show {
        /// Key of the request.
        key: String,
    },
    /// Let a waiting request go; every guard is asked once more.
    Approve {
        /// Key of the request.
        key: String,
        /// Token from the message that asked.
        #[arg(long, env = "ANCHORWATCH_APPROVAL_TOKEN", hide_env_values = true)]
        token: String,
    },
    /// Say no to a waiting request.
    Refuse {
        /// Key of the request.
        key: String,
        /// Why; kept in the audit trail.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say what became of a request that nobody heard of again.
    Outcome {
        /// Key of the request.
        key: String,
        /// What became of it.
        #[arg(value_enum)]
        outcome: Outcome,
        /// One line; kept in the audit trail.
        #[arg(long, default_value = "")]
        detail: String,
    },
    /// Start and send nothing from now on.
    Suspend {
        /// Why; kept in the audit trail.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let actions go on.
    Resume,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// It was done.
    Succeeded,
    /// It was not done.
    Failed,
}

impl ActionsCommand {
    /// Runs the command and prints its answer to a writer.
    ///
    /// # Errors
    /// When the daemon cannot be reached or refuses.
    pub fn run_to(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let client = self.client.client()?;
        let order = |key: &str, what: &str| format!("/api/v1/actions/{key}/{what}");
        let answer = match &self.command {
            Command::List { output } => return list(&client, *output, out),
            Command::Show { key } => {
                return Ok(write_json(out, &client.get(&format!("/api/v1/actions/{key}"), &[])?)?);
            }
            Command::Approve { key, token } => {
                client.post(&order(key, "approve"), &json!({"token": token}))?
            }
            Command::Refuse { key, reason } => {
                client.post(&order(key, "refuse"), &json!({"reason": reason}))?
            }
            Command::Outcome { key, outcome, detail } => {
                let outcome = match outcome {
                    Outcome::Succeeded => "succeeded",
                    Outcome::Failed => "failed",
                };
                client.post(&order(key, "outcome"), &json!({"outcome": outcome, "detail": detail}))?
            }
            Command::Suspend { reason } => {
                client.post("/api/v1/actions/suspend", &json!({"reason": reason}))?;
                return Ok(writeln!(
                    out,
                    "suspended: nothing is started or sent until `anchorwatch actions resume`"
                )?);
            }
            Command::Resume => {
                let answer = client.post("/api/v1/actions/resume", &json!({}))?;
                match answer["suspended"].as_str() {
                    Some(reason) => writeln!(out, "still suspended: {reason}")?,
                    None => writeln!(out, "resumed")?,
                }
                return Ok(());
            }
        };
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok(writeln!(out, "{} {}: {} ({})", text("kind"), text("key"), text("state"), text("detail"))?)
    }
}

fn list(client: &Client, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let actions = client.get("/api/v1/actions", &[])?;
    if output == Output::Json {
        return Ok(write_json(out, &actions)?);
    }
    if let Some(reason) = actions["suspended"].as_str() {
        writeln!(out, "SUSPENDED: {reason}\n")?;
    }
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let rows: Vec<[String; 7]> = items(&actions, "items")
        .map(|action| {
            let time = action["decided_at"].as_i64().map(when).unwrap_or_default();
            [
                text(action, "key"),
                text(action, "kind"),
                text(action, "model"),
                text(action, "version"),
                text(action, "to_version"),
                time,
                format!("{} ({})", text(action, "state"), text(action, "detail")),
            ]
        })
        .collect();
    if rows.is_empty() {
        writeln!(out, "no action was decided")?;
    } else {
        write_table(out, ["KEY", "KIND", "MODEL", "VERSION", "TO", "DECIDED", "STATE"], &rows)?;
    }
    let held: Vec<[String; 5]> = items(&actions, "held")
        .map(|held| ["action", "model", "version", "guard", "because"].map(|name| text(held, name)))
        .collect();
    if !held.is_empty() {
        writeln!(out)?;
        write_table(out, ["HELD", "MODEL", "VERSION", "BY", "BECAUSE OF"], &held)?;
    }
    Ok(())
}

fn items<'a>(actions: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    actions[name].as_array().into_iter().flatten()
}
