//! `anchorwatch model`: list, show, promote, archive.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::CliContext;
use super::table::{Output, when, write_json, write_table};
use crate::registry::{Registry, stage_name};
use crate::view::{ModelView, Stage};

/// Models, their versions and the stages of these.
#[derive(Debug, Args)]
pub struct ModelCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List models and versions.
    List {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show a model: versions, references, changes of stage.
    Show {
        /// Model name.
        model: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Move a version to a stage; the former production version is archived.
    Promote {
        /// Model name.
        model: String,
        /// Semantic version.
        version: String,
        /// Stage to enter.
        #[arg(long, value_enum, default_value_t = StageName::Production)]
        stage: StageName,
        /// Promote even an archived version.
        #[arg(long)]
        force: bool,
        /// The present production version failed: archive it as rolled back, so that it is no target of rollbacks.
        #[arg(long)]
        rollback: bool,
    },
    /// Retire a version.
    Archive {
        /// Model name.
        model: String,
        /// Semantic version.
        version: String,
    },
}

/// Stages that a version can be promoted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// Not promoted.
    None,
    /// Being tried.
    Staging,
    /// Serving.
    Production,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::None => Self::None,
            StageName::Staging => Self::Staging,
            StageName::Production => Self::Production,
        }
    }
}

impl ModelCommand {
    /// Runs the command and prints its answer on standard output.
    ///
    /// # Errors
    /// When the registry cannot be used or refuses the change.
    pub fn run(self, context: &CliContext) -> anyhow::Result<()> {
        self.run_to(context, &mut std::io::stdout().lock())
    }

    /// Runs the command and prints its answer to a writer.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn run_to(self, context: &CliContext, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut registry = Registry::open(&context.data_dir)?;
        match self.command {
            Command::List { output } => list(&registry, output, out),
            Command::Show { model, output } => show(&registry, &model, output, out),
            Command::Promote { model, version, stage, force, rollback } => {
                if rollback && stage != StageName::Production {
                    anyhow::bail!("--rollback returns a version to production; leave --stage out");
                }
                match rollback {
                    true => registry.roll_back(&model, &version)?,
                    false => registry.set_stage(&model, &version, stage.into(), force)?,
                }
                tell_stage(&registry, &model, &version, out)
            }
            Command::Archive { model, version } => {
                registry.set_stage(&model, &version, Stage::Archived, false)?;
                tell_stage(&registry, &model, &version, out)
            }
        }
    }
}

fn tell_stage(registry: &Registry, model: &str, version: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let models = registry.models()?;
    let versions = models.iter().filter(|view| view.model == model).flat_map(|view| &view.versions);
    for view in versions.filter(|view| view.version == version) {
        writeln!(out, "{model} {version}: {}", stage_name(view.stage))?;
    }
    Ok(())
}

fn rows(models: &[ModelView]) -> Vec<[String; 5]> {
    let short = |id: &String| id.get(..12).unwrap_or(id).to_owned();
    let of_model = |model: &ModelView| {
        let row = |view: &crate::view::VersionView| {
            [
                model.model.clone(),
                view.version.clone(),
                stage_name(view.stage).to_owned(),
                view.reference.as_ref().map(short).unwrap_or_default(),
                view.references.len().to_string(),
            ]
        };
        model.versions.iter().map(row).collect::<Vec<_>>()
    };
    models.iter().flat_map(of_model).collect()
}

const HEADING: [&str; 5] = ["MODEL", "VERSION", "STAGE", "ACTIVE REFERENCE", "REFERENCES"];

fn list(registry: &Registry, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let models = registry.models()?;
    if output == Output::Json {
        return Ok(write_json(out, &models)?);
    }
    if models.is_empty() {
        writeln!(
            out,
            "no models; the first reference of a model registers it: anchorwatch reference create --help"
        )?;
        return Ok(());
    }
    Ok(write_table(out, HEADING, &rows(&models))?)
}

/// `model show --output json`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    model: Option<ModelView>,
    stage_changes: Vec<ShownChange>,
    last_good: Option<String>,
}

#[derive(Serialize)]
struct ShownChange {
    version: String,
    from: Stage,
    to: Stage,
    reason: String,
    at: i64,
}

fn show(registry: &Registry, model: &str, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let changes = registry.stage_changes(model)?;
    let view = registry.models()?.into_iter().find(|view| view.model == model);
    let serving = view.iter().flat_map(|view| &view.versions).find(|view| view.stage == Stage::Production);
    let last_good = match serving {
        Some(serving) => registry.last_good(model, &serving.version)?,
        None => None,
    };
    if output == Output::Json {
        let stage_changes = changes
            .into_iter()
            .map(|c| ShownChange { version: c.version, from: c.from, to: c.to, reason: c.reason, at: c.at })
            .collect();
        return Ok(write_json(out, &Shown { model: view, stage_changes, last_good })?);
    }
    write_table(out, HEADING, &rows(view.as_slice()))?;
    if let Some(version) = last_good {
        writeln!(out, "\na rollback would return to {version}")?;
    }
    if !changes.is_empty() {
        writeln!(out)?;
        let row = |c: crate::store::StageChange| {
            [when(c.at), c.version, stage_name(c.from).to_owned(), stage_name(c.to).to_owned(), c.reason]
        };
        let rows: Vec<_> = changes.into_iter().map(row).collect();
        write_table(out, ["AT", "VERSION", "FROM", "TO", "WHY"], &rows)?;
    }
    Ok(())
}
