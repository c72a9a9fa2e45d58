//! HTTPS: certificates from files, at least TLS 1.2, client certificates checked if an authority for them is configured.
//!
//! Nothing is resumed from earlier sessions while client certificates count, so that a client whose authority was taken
//! away is asked again. Revocation lists are not read: take the name off `http.tls.clients`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum_server::tls_openssl::OpenSSLConfig;
use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, SslAcceptor, SslFiletype, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
    SslVersion, select_next_proto,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use crate::config::Tls as TlsSettings;

const HTTP_1: &[u8] = b"\x08http/1.1";

/// Why HTTPS cannot begin, or the new certificates cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("http.tls.{field}: the file {path} cannot be read ({source})")]
    Unreadable {
        /// Field of `http.tls`.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("http.tls.{field}: the file {path} does not hold {expected} as PEM ({source})")]
    Unusable {
        /// Field of `http.tls`.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// Key and certificate are of two minds.
    #[error(
        "http.tls: the key in {0} does not belong to the certificate: write both at once and send SIGHUP again"
    )]
    Mismatch(PathBuf),
    /// OpenSSL itself does not work.
    #[error("OpenSSL cannot be set up: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// HTTPS as configured; cheap to clone, and every clone sees reloaded certificates.
#[derive(Debug, Clone)]
pub struct Tls {
    settings: TlsSettings,
    pub(super) config: OpenSSLConfig,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let config = OpenSSLConfig::from_acceptor(Arc::new(acceptor(&settings)?));
        Ok(Self { settings, config })
    }

    /// Reads the files again, for the connections to come.
    ///
    /// # Errors
    /// When a file cannot be used; the certificates of before stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.reload_from_acceptor(Arc::new(acceptor(&self.settings)?));
        Ok(())
    }
}

fn acceptor(settings: &TlsSettings) -> Result<SslAcceptor, TlsError> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_alpn_select_callback(|_, offered| select_next_proto(HTTP_1, offered).ok_or(AlpnError::NOACK));
    let unusable = |field, path: &Path, expected| {
        let path = path.to_owned();
        move |source| TlsError::Unusable { field, path, expected, source }
    };
    let (certificate, key) = (&settings.certificate_file, &settings.key_file);
    readable("certificate_file", certificate)?;
    builder.set_certificate_chain_file(certificate).map_err(unusable(
        "certificate_file",
        certificate,
        "a certificate",
    ))?;
    readable("key_file", key)?;
    builder.set_private_key_file(key, SslFiletype::PEM).map_err(|source| {
        // OpenSSL compares the two as soon as it has both.
        let mismatch =
            source.errors().iter().any(|error| error.reason().is_some_and(|why| why.contains("mismatch")));
        if mismatch {
            TlsError::Mismatch(key.clone())
        } else {
            unusable("key_file", key, "a private key")(source)
        }
    })?;
    builder.check_private_key().map_err(|_| TlsError::Mismatch(key.clone()))?;
    if let Some(path) = &settings.client_ca_file {
        let pem = readable("client_ca_file", path)?;
        let failed = || unusable("client_ca_file", path, "certificates");
        let mut store = X509StoreBuilder::new()?;
        for authority in X509::stack_from_pem(&pem).map_err(failed())? {
            builder.add_client_ca(&authority)?;
            store.add_cert(authority).map_err(failed())?;
        }
        builder.set_verify_cert_store(store.build())?;
        // Who shows no certificate may still have a token; who shows a wrong one goes no further.
        builder.set_verify(SslVerifyMode::PEER);
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_session_id_context(b"anchorwatch")?;
    }
    Ok(builder.build())
}

fn readable(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { field, path: path.to_owned(), source })
}

/// Names that a certificate vouches for: DNS names, URIs and mail addresses of its subject.
pub(super) fn names(certificate: &X509) -> Vec<String> {
    const MOST_NAMES: usize = 64;
    let names = certificate.subject_alt_names();
    let text = names.iter().flatten().filter_map(|name| name.dnsname().or(name.uri()).or(name.email()));
    text.take(MOST_NAMES).map(str::to_owned).collect()
}
