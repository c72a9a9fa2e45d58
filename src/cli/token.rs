//! `anchorwatch token new NAME`: a bearer token for the API, shown once; the daemon knows its hash only.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand, ValueEnum};
use sha2::{Digest, Sha256};

use crate::config::TokenScope;

/// Begins every token, so that scanners for leaked secrets know one.
const PREFIX: &str = "anchorwatch_";

/// Makes bearer tokens for the API.
#[derive(Debug, Clone, Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    command: Token,
}

#[derive(Debug, Clone, Subcommand)]
enum Token {
    /// Makes a token, shows it once, and prints the entry for http.tokens.
    New {
        /// Whose it is: the name in the audit trail.
        name: String,
        /// What it allows; each scope stands for itself.
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scopes: Vec<ScopeArg>,
        /// Write the token to this new file, which only you can read, instead of showing it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// A scope on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum ScopeArg {
    /// See models, windows, alerts, metrics.
    Read,
    /// Acknowledge and silence alerts, retry deliveries.
    Silence,
    /// Approve and suspend actions.
    Approve,
    /// Everything else that changes the daemon.
    Admin,
}

impl From<ScopeArg> for TokenScope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Read => Self::Read,
            ScopeArg::Silence => Self::Silence,
            ScopeArg::Approve => Self::Approve,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

impl TokenCommand {
    /// Makes the token.
    ///
    /// # Errors
    /// When the file exists, or something cannot be written.
    pub fn run_to(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Token::New { name, scopes, out: file } = &self.command;
        let token = new_token();
        match file {
            Some(path) => {
                write_new(path, &token).with_context(|| format!("cannot write {}", path.display()))?;
                writeln!(out, "# The token is in {}.", path.display())?;
            }
            None => writeln!(
                out,
                "# The token. It is shown only now; keep it where only its owner can read it.\n{token}\n"
            )?,
        }
        writeln!(out, "# For http.tokens of the configuration, or for http.tokens_file (then send SIGHUP).")?;
        out.write_all(entry(name, &token, scopes).as_bytes())?;
        Ok(())
    }
}

/// 256 bits of the system's randomness.
fn new_token() -> String {
    let bits: [u8; 32] = rand::random();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))
}

fn entry(name: &str, token: &str, scopes: &[ScopeArg]) -> String {
    let mut scopes: Vec<TokenScope> = scopes.iter().map(|scope| (*scope).into()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let scopes: Vec<&str> = scopes.into_iter().map(TokenScope::as_str).collect();
    let digest = Sha256::digest(token).iter().fold(String::new(), |mut hex, byte| {
        _ = write!(hex, "{byte:02x}");
        hex
    });
    // A JSON text is a YAML text, whatever the name holds.
    let name = serde_json::Value::from(name);
    format!("- name: {name}\n  sha256: \"{digest}\"\n  scopes: [{}]\n", scopes.join(", "))
}

fn write_new(path: &std::path::Path, token: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits_and_its_entry_is_a_configuration() {
        let (token, other) = (new_token(), new_token());
        assert_ne!(token, other);
        let bits = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).expect("the prefix")).expect("base64");
        assert_eq!(bits.len(), 32);
        let text = entry("ci: \"x\"", &token, &[ScopeArg::Silence, ScopeArg::Read, ScopeArg::Read]);
        let parsed: Vec<crate::config::Token> = serde_saphyr::from_str(&text).expect("a list of tokens");
        assert_eq!(parsed[0].name, "ci: \"x\"");
        assert_eq!(parsed[0].digest().expect("hex").as_slice(), Sha256::digest(&token).as_slice());
        assert_eq!(parsed[0].scopes.len(), 2);
    }
}
