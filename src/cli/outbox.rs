//! `anchorwatch outbox`: list, show, retry, drop, settle deliveries, over the API or, without a daemon, on the state file.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::CliContext;
use super::client::{Client, ClientArgs, is_unreachable};
use super::table::{Output, when, write_json, write_table};
use crate::app::wall_clock;
use crate::store::Store;
use crate::view::{
    DeliveryDetail, DeliveryView, OutboxChanged, OutboxOrder, OutboxPage, OutboxQuery, TargetView,
};

/// Name in the audit trail of orders that are given on the state file itself.
const OFFLINE: &str = "local (offline)";

/// Deliveries: what waits, what failed, and what is to become of it.
///
/// The running daemon is asked over its API. If none answers there, the state file in --data-dir is used instead.
#[derive(Debug, Args)]
pub struct OutboxCommand {
    #[command(flatten)]
    client: ClientArgs,
    /// Ask no daemon: work on the state file in --data-dir.
    #[arg(long, global = true)]
    offline: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries, newest first, and how the targets are doing.
    List {
        /// Only in this state: pending, inflight, delivered, dead, expired, unknown or held.
        #[arg(long)]
        state: Option<String>,
        /// Only of this target.
        #[arg(long)]
        target: Option<String>,
        /// Most that are listed.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
        /// Only with a smaller number, for the next page.
        #[arg(long)]
        before: Option<i64>,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show one delivery with what it says.
    Show {
        /// Its number.
        id: i64,
    },
    /// Send notifications again that were given up, under the same keys. An action is asked for once.
    Retry {
        /// Numbers of deliveries.
        #[arg(required_unless_present = "target")]
        ids: Vec<i64>,
        /// All dead notifications of this target, with --dead.
        #[arg(long, requires = "dead", conflicts_with = "ids")]
        target: Option<String>,
        /// Meant are those that were given up.
        #[arg(long, requires = "target")]
        dead: bool,
    },
    /// Never send a delivery that waits or was given up.
    Drop {
        /// Its number.
        id: i64,
    },
    /// Say whether an action was taken of which nobody knows. `anchorwatch actions outcome` says also whether it was done.
    Settle {
        /// Its number.
        id: i64,
        /// It was taken.
        #[arg(long, required_unless_present = "not_taken", conflicts_with = "not_taken")]
        taken: bool,
        /// It was not taken.
        #[arg(long)]
        not_taken: bool,
    },
}

impl OutboxCommand {
    /// Runs the command and prints its answer to a writer.
    ///
    /// # Errors
    /// When neither a daemon nor a state file can be asked, or the order is refused.
    pub fn run_to(self, context: &CliContext, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut desk = Desk::find(&self.client, self.offline, context)?;
        match self.command {
            Command::List { state, target, limit, before, output } => {
                let query = OutboxQuery { state, target, before, limit: usize::from(limit) };
                list(&desk.list(query)?, output, out)
            }
            Command::Show { id } => Ok(write_json(out, &desk.show(id)?)?),
            Command::Retry { target: Some(target), .. } => {
                tell(&desk.order(OutboxOrder::RetryDead { target })?, out)
            }
            Command::Retry { ids, .. } => tell(&desk.order(OutboxOrder::Retry { ids })?, out),
            Command::Drop { id } => tell(&desk.order(OutboxOrder::Drop { id })?, out),
            Command::Settle { id, taken, .. } => tell(&desk.order(OutboxOrder::Settle { id, taken })?, out),
        }
    }
}

/// Who is asked.
enum Desk {
    Daemon(Box<Client>),
    File(Box<Store>),
}

impl Desk {
    fn find(client: &ClientArgs, offline: bool, context: &CliContext) -> anyhow::Result<Self> {
        let file = context.data_dir.join("anchorwatch.db");
        let open = || anyhow::Ok(Self::File(Box::new(Store::open(&context.data_dir)?)));
        if offline {
            if !file.exists() {
                bail!("there is no state file {}: --data-dir names its folder", file.display());
            }
            return open();
        }
        let client = client.client()?;
        match client.get("/livez", &[]) {
            Err(error) if is_unreachable(&error) && file.exists() => {
                // Nobody is left to tell if standard error is gone.
                _ = writeln!(std::io::stderr(), "no daemon answers: working on {}", file.display());
                open()
            }
            // What else is wrong is said by the question itself.
            Ok(_) | Err(_) => Ok(Self::Daemon(Box::new(client))),
        }
    }

    fn list(&self, query: OutboxQuery) -> anyhow::Result<OutboxPage> {
        match self {
            Self::Daemon(client) => {
                let mut asked = vec![("limit", query.limit.to_string())];
                asked.extend(query.state.map(|state| ("state", state)));
                asked.extend(query.target.map(|target| ("target", target)));
                asked.extend(query.before.map(|before| ("before", before.to_string())));
                let asked: Vec<_> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
                read(client.get("/api/v1/outbox", &asked)?)
            }
            Self::File(store) => {
                let limit = query.limit;
                let items = store.outbox_rows(&query)??;
                let next_before = (items.len() == limit).then(|| items.last().map(|row| row.id)).flatten();
                let stats = store.outbox_stats()?.into_iter();
                let target = |stats: crate::store::OutboxStats| TargetView {
                    target: stats.target,
                    pending: stats.pending + stats.inflight,
                    dead: stats.dead,
                    unknown: stats.unknown,
                    oldest_pending_at: stats.oldest_pending_at,
                    ..TargetView::default()
                };
                Ok(OutboxPage { targets: stats.map(target).collect(), items, next_before })
            }
        }
    }

    fn show(&self, id: i64) -> anyhow::Result<DeliveryDetail> {
        match self {
            Self::Daemon(client) => read(client.get(&format!("/api/v1/outbox/{id}"), &[])?),
            Self::File(store) => {
                store.outbox_detail(id)?.with_context(|| format!("there is no delivery {id}"))
            }
        }
    }

    fn order(&mut self, order: OutboxOrder) -> anyhow::Result<OutboxChanged> {
        match self {
            Self::Daemon(client) => {
                let (path, body) = request(order);
                read(client.post(&path, &body)?)
            }
            Self::File(store) => Ok(store.outbox_order(&order, OFFLINE, wall_clock())??),
        }
    }
}

fn request(order: OutboxOrder) -> (String, Value) {
    match order {
        OutboxOrder::Retry { ids } => ("/api/v1/outbox/retry".to_owned(), json!({"ids": ids})),
        OutboxOrder::RetryDead { target } => ("/api/v1/outbox/retry".to_owned(), json!({"target": target})),
        OutboxOrder::Drop { id } => (format!("/api/v1/outbox/{id}/drop"), json!({})),
        OutboxOrder::Settle { id, taken } => (format!("/api/v1/outbox/{id}/settle"), json!({"taken": taken})),
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer).context("the daemon is of another version: its answer is not understood")
}

fn tell(changed: &OutboxChanged, out: &mut dyn Write) -> anyhow::Result<()> {
    let ids: Vec<String> = changed.changed.iter().take(20).map(ToString::to_string).collect();
    let more = changed.changed.len().saturating_sub(ids.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match ids.is_empty() {
        true => writeln!(out, "nothing to do")?,
        false => writeln!(out, "{}: {}{more}", changed.state, ids.join(", "))?,
    }
    if changed.left > 0 {
        writeln!(
            out,
            "{} actions were left alone: an action is asked for once, and the next alert decides anew",
            changed.left
        )?;
    }
    Ok(())
}

fn list(page: &OutboxPage, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    if output == Output::Json {
        return Ok(write_json(out, page)?);
    }
    let row = |target: &TargetView| {
        let known = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        [
            target.target.clone(),
            known(&target.breaker),
            target.pending.to_string(),
            target.dead.to_string(),
            target.unknown.to_string(),
            target.oldest_pending_at.map(when).unwrap_or_default(),
            target.last_error.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.targets.iter().map(row).collect();
    write_table(out, ["TARGET", "BREAKER", "PENDING", "DEAD", "UNKNOWN", "OLDEST", "LAST ERROR"], &rows)?;
    let row = |delivery: &DeliveryView| {
        [
            delivery.id.to_string(),
            delivery.target.clone(),
            delivery.class.clone(),
            delivery.state.clone(),
            delivery.attempt.to_string(),
            when(delivery.decided_at),
            delivery.last_error.clone().unwrap_or_default(),
        ]
    };
    writeln!(out)?;
    let rows: Vec<_> = page.items.iter().map(row).collect();
    write_table(out, ["ID", "TARGET", "CLASS", "STATE", "ATTEMPTS", "DECIDED", "LAST ERROR"], &rows)?;
    if let Some(before) = page.next_before {
        writeln!(out, "\nmore with --before {before}")?;
    }
    Ok(())
}
