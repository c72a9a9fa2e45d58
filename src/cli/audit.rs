//! `anchorwatch audit`: list, verify, export, head.

use std::io::Write;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::CliContext;
use super::table::{Output, when, write_json, write_table};
use crate::store::{AuditEntry, Store, has_state};

/// Rows of an export that are read at a time.
const PAGE: usize = 1_000;

/// The audit trail of a data folder; the daemon may be running.
#[derive(Debug, Args)]
pub struct AuditCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The newest rows, newest first.
    List {
        /// Most rows.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Follow the chain from its beginning; names the first row that does not fit.
    Verify {
        /// A hash that `audit head` printed earlier and that somebody else kept: finds rows cut off at the end.
        #[arg(long)]
        head: Option<String>,
    },
    /// Every row as one line of JSON, oldest first.
    Export,
    /// Print the hash of the newest row, to be kept elsewhere.
    Head,
}

/// A row as it is exported.
#[derive(Serialize)]
struct Exported<'a> {
    id: i64,
    at: i64,
    actor: &'a str,
    what: &'a str,
    key: &'a str,
    detail: &'a str,
    guard: Option<&'a str>,
    inputs: Option<&'a str>,
    hash: Option<&'a str>,
}

impl<'a> Exported<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        let AuditEntry { id, row, guard, inputs, hash } = entry;
        Self {
            id: *id,
            at: row.at,
            actor: &row.actor,
            what: &row.what,
            key: &row.key,
            detail: &row.detail,
            guard: guard.as_deref(),
            inputs: inputs.as_deref(),
            hash: hash.as_deref(),
        }
    }
}

impl AuditCommand {
    /// Runs the command and prints its answer to a writer.
    ///
    /// # Errors
    /// When the state file cannot be read, or the chain does not hold.
    pub fn run_to(self, context: &CliContext, out: &mut dyn Write) -> anyhow::Result<()> {
        // An empty trail always holds: whoever mistypes the folder is not to be reassured.
        if !has_state(&context.data_dir) {
            bail!(
                "{} holds no state: name the daemon's data folder with --data-dir",
                context.data_dir.display()
            );
        }
        let store = Store::open(&context.data_dir)?;
        match self.command {
            Command::List { limit, output } => list(&store, limit, output, out),
            Command::Verify { head } => verify(&store, head.as_deref(), out),
            Command::Export => export(&store, out),
            Command::Head => match store.audit_head()? {
                Some(hash) => Ok(writeln!(out, "{hash}")?),
                None => bail!("there is no row with a hash yet"),
            },
        }
    }
}

fn list(store: &Store, limit: usize, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let entries = store.audit(limit)?;
    if output == Output::Json {
        return Ok(write_json(out, &entries.iter().map(Exported::of).collect::<Vec<_>>())?);
    }
    let rows: Vec<[String; 8]> = entries
        .into_iter()
        .map(|AuditEntry { id, row, guard, inputs, .. }| {
            let or_none = |column: Option<String>| column.unwrap_or_else(|| "-".to_owned());
            let (guard, inputs) = (or_none(guard), or_none(inputs));
            [id.to_string(), when(row.at), row.actor, row.what, row.key, guard, inputs, row.detail]
        })
        .collect();
    Ok(write_table(out, ["ROW", "AT", "BY", "WHAT", "KEY", "GUARD", "INPUTS", "DETAIL"], &rows)?)
}

fn verify(store: &Store, head: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let proof = match store.verify_audit(head)? {
        Ok(proof) => proof,
        Err(broken) => bail!("the audit trail does not hold: {broken}"),
    };
    writeln!(out, "the chain of {} rows holds", proof.rows)?;
    if proof.unchained > 0 {
        writeln!(out, "{} rows before it are older than the chain", proof.unchained)?;
    }
    if let Some(hash) = proof.head {
        writeln!(out, "head {hash}")?;
    }
    Ok(())
}

fn export(store: &Store, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut last = i64::MIN;
    loop {
        let page = store.audit_after(last, PAGE)?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.id;
        for entry in &page {
            serde_json::to_writer(&mut *out, &Exported::of(entry))?;
            writeln!(out)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_folder_is_no_trail_that_holds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let context = CliContext { data_dir: folder.path().join("mistyped") };
        let verify = AuditCommand { command: Command::Verify { head: None } };
        let refused = verify.run_to(&context, &mut Vec::new()).expect_err("there is no state");
        assert!(refused.to_string().contains("--data-dir"), "{refused}");
        assert!(!context.data_dir.exists(), "nothing is made by looking");
    }
}
