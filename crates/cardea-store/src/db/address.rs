//! The address of a PostgreSQL server, and the protection of the connection to it.
//!
//! `sslmode` has the meaning it has for `psql`, for the values that state their safety: `disable`, `require`
//! (encrypted, to any server) and `verify-full`. If absent: `verify-full`, unless the server is on this machine.
//! `sslrootcert` names a file with the certificates to trust instead of the system's.

use std::{fmt, net::IpAddr, path::PathBuf, pin::Pin, str::FromStr, sync::Arc};

use futures::future::BoxFuture;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// Protection of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// None.
    Disable,
    /// Encrypted, without verifying the server.
    Require,
    /// Encrypted, to a server whose certificate names the host and is signed by a trusted authority.
    VerifyFull,
}

/// Address of a server, with the protection of the connection.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    mode: Mode,
    roots: Option<PathBuf>,
}

impl Address {
    /// Parses `postgres://user@host:port/name?…`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("must start with `postgres://`".to_owned());
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let twice = match parameter.split_once('=') {
                Some(("sslmode", value)) => mode.replace(read_mode(value)?).is_some(),
                Some(("sslrootcert", value)) => roots.replace(decoded(value)?).is_some(),
                _ => {
                    others.push(parameter);
                    false
                }
            };
            if twice {
                return Err(format!("has `{parameter}` a second time"));
            }
        }
        let place =
            if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
        let mut config = Config::from_str(&place).map_err(|error| error.to_string())?;
        let mode = mode.unwrap_or(if is_here(&config) { Mode::Disable } else { Mode::VerifyFull });
        if roots.is_some() && mode != Mode::VerifyFull {
            return Err("has `sslrootcert`, which only `sslmode=verify-full` looks at".to_owned());
        }
        config.ssl_mode(if mode == Mode::Disable { SslMode::Disable } else { SslMode::Require });
        Ok(Self { config, mode, roots: roots.map(PathBuf::from) })
    }

    /// Builds the TLS configuration of its connections. Reads certificates.
    ///
    /// # Errors
    /// Which certificates cannot be used, and why.
    pub(crate) fn tls(&self) -> Result<Tls, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = || {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
            builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())
        };
        let config = match self.mode {
            Mode::Disable => {
                if !is_here(&self.config) {
                    tracing::warn!("the way to the database is not encrypted (`sslmode=disable`)");
                }
                return Ok(Tls(None));
            }
            Mode::Require => {
                tracing::warn!(
                    "whoever answers for the database is believed (`sslmode=require`); use `verify-full`"
                );
                let anybody = Arc::new(Anybody(Arc::clone(&provider)));
                builder()?.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
            }
            Mode::VerifyFull => builder()?.with_root_certificates(self.trusted()?).with_no_client_auth(),
        };
        Ok(Tls(Some(Arc::new(config))))
    }

    /// Checks the file of certificates, if one is given.
    ///
    /// # Errors
    /// As [`Self::tls`].
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.roots.is_some() { self.trusted().map(drop) } else { Ok(()) }
    }

    fn trusted(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        let Some(file) = &self.roots else {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                return Err("needs certificates to verify the server with, and this system has none: name a file with `sslrootcert=FILE`".to_owned());
            }
            return Ok(store);
        };
        let wrong = |why: &dyn fmt::Display| format!("`sslrootcert` (`{}`): {why}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            store.add(certificate).map_err(|error| wrong(&error))?;
        }
        if store.is_empty() { Err(wrong(&"there is no certificate in it")) } else { Ok(store) }
    }
}

fn read_mode(text: &str) -> Result<Mode, String> {
    match text {
        "disable" => Ok(Mode::Disable),
        "require" => Ok(Mode::Require),
        "verify-full" => Ok(Mode::VerifyFull),
        "allow" | "prefer" => {
            Err(format!("has `sslmode={text}`, which an attacker can turn off: use `verify-full` or `disable`"))
        }
        "verify-ca" => Err(
            "has `sslmode=verify-ca`, which takes any server's certificate of the same issuer: use `verify-full`"
                .to_owned(),
        ),
        other => Err(format!("has `sslmode={other}`: use `disable`, `require` or `verify-full`")),
    }
}

/// Decodes `%2F` and the like.
pub(crate) fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("has `sslrootcert={text}`, which is not encoded as addresses are");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Returns whether the connection stays on this machine.
fn is_here(config: &Config) -> bool {
    let host = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(host) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Encrypts connections, or leaves them as they are if the address says so.
#[derive(Clone)]
pub(crate) struct Tls(Option<Arc<ClientConfig>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tls(on)" } else { "Tls(off)" })
    }
}

/// The handshake with one server.
pub(crate) struct Handshake {
    config: Option<Arc<ClientConfig>>,
    host: String,
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Protected<S>;
    type TlsConnect = Handshake;
    type Error = std::io::Error;

    fn make_tls_connect(&mut self, host: &str) -> std::io::Result<Handshake> {
        Ok(Handshake { config: self.0.clone(), host: host.to_owned() })
    }
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Protected<S>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Protected<S>>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let config = self.config.ok_or_else(|| std::io::Error::other("TLS is off"))?;
            let name = ServerName::try_from(self.host).map_err(std::io::Error::other)?;
            TlsConnector::from(config).connect(name, stream).await.map(Protected)
        })
    }
}

/// An encrypted connection.
pub(crate) struct Protected<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Protected<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Protected<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Protected<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Accepts any certificate; that the server holds its key is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_is_verified_unless_the_address_says_otherwise() {
        for (url, mode) in [
            ("postgres://u@localhost/d", Mode::Disable),
            ("postgres://u@127.0.0.1:5432/d", Mode::Disable),
            ("postgres://u@[::1]/d", Mode::Disable),
            ("postgres://u@%2Ftmp/d", Mode::Disable),
            ("postgres://u@localhost/d?sslmode=verify-full", Mode::VerifyFull),
            ("postgres://u@db.example/d", Mode::VerifyFull),
            ("postgres://u@10.0.0.7/d", Mode::VerifyFull),
            ("postgres://u@localhost.evil.example/d", Mode::VerifyFull),
            ("postgres://u@localhost,db.example/d", Mode::VerifyFull),
            ("postgres://u@localhost/d?hostaddr=10.0.0.7", Mode::VerifyFull),
            ("postgres://u@db.example/d?hostaddr=127.0.0.1", Mode::VerifyFull),
            ("postgresql://u@db.example/d?sslmode=require&application_name=x", Mode::Require),
            ("postgres://u@db.example/d?application_name=x&sslmode=disable", Mode::Disable),
        ] {
            let address = Address::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(address.mode, mode, "{url}");
            let plain = address.config.get_ssl_mode() == SslMode::Disable;
            assert_eq!(plain, mode == Mode::Disable, "{url}: never `prefer`");
        }
    }

    #[test]
    fn what_only_looks_safe_is_refused_in_clear_words() {
        for (url, told) in [
            ("postgres://u@db.example/d?sslmode=prefer", "verify-full"),
            ("postgres://u@db.example/d?sslmode=allow", "verify-full"),
            ("postgres://u@db.example/d?sslmode=verify-ca", "verify-full"),
            ("postgres://u@db.example/d?sslmode=VERIFY-FULL", "verify-full"),
            ("postgres://u@db.example/d?sslmode=", "verify-full"),
            ("postgres://u@db.example/d?sslmode=disable&sslmode=verify-full", "second time"),
            ("postgres://u@db.example/d?sslmode=require&sslrootcert=/ca.pem", "only `sslmode=verify-full`"),
            ("postgres://u@db.example/d?sslrootcert=%zz", "not encoded"),
            ("host=db.example sslmode=disable", "postgres://"),
        ] {
            let why = Address::parse(url).unwrap_err();
            assert!(why.contains(told), "{url}: {why}");
        }
        let missing = Address::parse("postgres://u@db.example/d?sslrootcert=/no/such%20file.pem").unwrap();
        assert!(missing.check().unwrap_err().contains("/no/such file.pem"));
    }
}
