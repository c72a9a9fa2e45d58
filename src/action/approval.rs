//! Tokens that show that whoever approves was told of the request.
//!
//! A token is an HMAC over what is asked, so that it fits one request only and is the same on every replay; it is worth
//! nothing once the request no longer waits.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Request;

/// Hexadecimal digits of a token: 128 bits.
const DIGITS: usize = 32;

/// The secret from which tokens are made. It never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApprovalKey(Vec<u8>);

impl fmt::Debug for ApprovalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApprovalKey(***)")
    }
}

impl ApprovalKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The token of a request; `None` without a key: then nothing can be approved.
    #[must_use]
    pub fn token(&self, request: &Request) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?; // takes keys of every length
        let to = request.to_version.as_deref().unwrap_or_default();
        for part in [request.key.as_str(), &request.action, &request.model, &request.version, to] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(digits.chars().take(DIGITS).collect())
    }

    /// Whether this is the token of the request; takes as long for a wrong one as for the right one.
    #[must_use]
    pub fn fits(&self, request: &Request, token: &str) -> bool {
        let known = self.token(request);
        known.is_some_and(|known| bool::from(known.as_bytes().ct_eq(token.trim().as_bytes())))
    }
}
