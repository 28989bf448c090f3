//! TLS: rustls with ring, trusting what this machine trusts.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// The TLS settings of a pool, made when the first encrypted connection is.
#[derive(Default)]
pub(super) struct Tls {
    /// Certificates (PEM) that are trusted besides those of the machine.
    extra: Arc<[u8]>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(extra: Arc<[u8]>) -> Self {
        Self { extra, connector: OnceCell::new() }
    }

    pub(super) async fn connector(&self) -> io::Result<&TlsConnector> {
        let load = || async {
            let extra = self.extra.clone();
            // The machine's certificates are files.
            tokio::task::spawn_blocking(move || connector(&extra))
                .await
                .map_err(io::Error::other)?
        };
        self.connector.get_or_try_init(load).await
    }
}

fn connector(extra: &[u8]) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        // A bare container: the roots that browsers trust.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in CertificateDer::pem_slice_iter(extra) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}
