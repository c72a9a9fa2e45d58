//! Signatures after the Standard Webhooks scheme, and the identity that a receiver sees.
//!
//! The receiver computes HMAC-SHA256 over `id.timestamp.body` and compares; `deploy/examples/verify` has samples.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::subject::Millis;

const PREFIX: &str = "whsec_";

/// Longest key that is used as it is.
const MAX_ID: usize = 255;

/// Why a text is not a signing secret. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Another beginning.
    #[error("does not begin with `whsec_`: make one with `echo whsec_$(openssl rand -base64 32)`")]
    Prefix,
    /// Not base64.
    #[error("is not base64 after `whsec_`: make one with `echo whsec_$(openssl rand -base64 32)`")]
    NotBase64,
    /// Too short to be safe, or too long for receivers.
    #[error("holds a key of {0} bytes: receivers accept 24 to 64")]
    Length(usize),
    /// There is none.
    #[error("is empty")]
    Empty,
}

/// The keys with which requests are signed; two while one replaces the other. They never print.
///
/// ```
/// use anchorwatch::deliver::SigningKeys;
/// let keys = SigningKeys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
/// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// assert_eq!(format!("{keys:?}"), "SigningKeys(***)");
/// # Ok::<(), anchorwatch::deliver::SigningKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeys(Vec<Vec<u8>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(***)")
    }
}

impl SigningKeys {
    /// Reads one key, or several separated by white space.
    ///
    /// # Errors
    /// When one of them is no `whsec_` secret of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let keys: Vec<_> = text.split_whitespace().map(parse_key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(SigningKeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// The header `webhook-signature`: one signature per key, separated by blanks.
    #[must_use]
    pub fn sign(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{unix_seconds}.");
        let signatures: Vec<_> = self.0.iter().filter_map(|key| sign(key, head.as_bytes(), body)).collect();
        signatures.join(" ")
    }
}

fn parse_key(text: &str) -> Result<Vec<u8>, SigningKeyError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(SigningKeyError::Prefix)?;
    let key = STANDARD.decode(encoded).map_err(|_| SigningKeyError::NotBase64)?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(SigningKeyError::Length(key.len())) }
}

fn sign(key: &[u8], head: &[u8], body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?; // takes keys of every length
    mac.update(head);
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// The identity of a delivery in headers: its key, if it is printable ASCII without a full stop (which the signed
/// text uses as a separator), else a hash of it.
///
/// ```
/// use anchorwatch::deliver::delivery_id;
/// assert_eq!(delivery_id("0af3-firing"), "0af3-firing");
/// assert_eq!(delivery_id("fraud/1.4.2").len(), 3 + 40);
/// ```
#[must_use]
pub fn delivery_id(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
    if !key.is_empty() && key.len() <= MAX_ID && key.bytes().all(plain) {
        return key.to_owned();
    }
    format!("aw_{}", short_hash(key))
}

/// The first 40 hexadecimal digits of the SHA-256 of a text.
pub(in crate::deliver) fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// The headers that identify and sign a request.
pub(in crate::deliver) fn signed_headers(
    keys: Option<&SigningKeys>,
    key: &str,
    at: Millis,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let (id, seconds) = (delivery_id(key), at.div_euclid(1_000));
    let mut headers = vec![
        ("idempotency-key", id.clone()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", seconds.to_string()),
    ];
    if let Some(keys) = keys {
        headers.push(("webhook-signature", keys.sign(&id, seconds, body)));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_cannot_sign_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("", SigningKeyError::Empty),
            ("hunter2", SigningKeyError::Prefix),
            ("whsec_###", SigningKeyError::NotBase64),
            ("whsec_c2hvcnQ=", SigningKeyError::Length(5)),
        ] {
            let found = SigningKeys::parse(text).expect_err(text);
            assert_eq!(found, expected);
            assert!(!found.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn two_keys_sign_side_by_side_while_one_replaces_the_other() {
        let (old, new) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let sign = |text: &str| SigningKeys::parse(text).expect("a secret").sign("id", 7, b"body");
        assert_eq!(sign(&format!("{old} {new}")), format!("{} {}", sign(old), sign(new)));
    }

    #[test]
    fn an_id_is_always_a_safe_header_without_a_full_stop() {
        for key in ["a.b", "", "ü", "a b", "a\r\nb: c", &"x".repeat(300)] {
            let id = delivery_id(key);
            assert!(id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') && !id.is_empty(), "{id}");
        }
    }
}
