//! Simulated vendors: an Okta org that calls hooks as Okta does, and providers that deliver to an
//! inbox, with faults on demand. Behind the `hookswitch-sandbox` binary, and in-process for tests.
//!
//! Written from the vendors' documentation alone. It shares no type with the rest of the library,
//! so that one misreading cannot hide on both sides; a test keeps it so.
//!
//! | module | is |
//! | --- | --- |
//! | [`okta`] | the org: management API, System Log, the caller of the active hook |
//! | [`provider`] | a provider account; `twilio`, `json_provider` and [`hosted_hook`] are the vendors behind it |
//! | [`inbox`] | the handset |
//! | [`faults`], [`gate`] | what goes wrong on demand, and where a call can be held |
//! | `control`, [`cli`] | the JSON API and the command line over the same handles |
//! | [`certs`] | the sandbox's own certificate authority |

#![allow(clippy::disallowed_methods, reason = "it stands for vendors, which call whom they like")]

pub mod certs;
pub mod cli;
mod clock;
mod control;
mod exchange;
pub mod faults;
pub mod gate;
pub mod hosted_hook;
pub mod inbox;
mod json_provider;
mod listener;
pub mod okta;
pub mod phone;
pub mod provider;
pub mod secret;
mod twilio;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use certs::{Authority, CertError, Issued};
use hosted_hook::HookClient;
use inbox::Inbox;
use okta::{Org, OrgOptions};
use provider::{Provider, Vendor};
use secret::Secret;

/// A provider account to be simulated.
#[derive(Debug, Clone)]
pub struct ProviderOptions {
    /// The account's name in faults and in the inbox.
    pub name: String,
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// Which vendor.
    pub vendor: VendorOptions,
}

/// Which vendor an account is of.
#[derive(Debug, Clone)]
pub enum VendorOptions {
    /// Twilio.
    Twilio {
        /// `AC` and 32 hexadecimal digits.
        account_sid: String,
        /// The Basic password.
        auth_token: Secret,
        /// The account's standard API keys: SID (`SK` and 32 hexadecimal digits) and secret.
        api_keys: Vec<(String, Secret)>,
        /// The senders the account owns; any well-formed one when empty.
        senders: Vec<String>,
        /// Its Verify services.
        services: Vec<VerifyService>,
        /// Whether Message Redaction is enabled: without it no message may ask for retention.
        redaction: bool,
    },
    /// Whoever is behind an `http` provider.
    Json {
        /// The Bearer token.
        token: Secret,
    },
    /// An Okta telephony hook that a vendor hosts.
    HostedHook {
        /// The whole value of the header `Authorization`, or the secret of its client.
        secret: Secret,
        /// The client of the authorization server that guards it.
        client: Option<HookClient>,
    },
}

/// A service of Twilio's Verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyService {
    /// `VA` and 32 hexadecimal digits.
    pub sid: String,
    /// The company's name in texts.
    pub friendly_name: String,
    /// Whether it takes passcodes that it has not made itself.
    pub custom_codes: bool,
    /// Templates that a verification may name, `HJ…`; the first is the service's own.
    pub templates: Vec<String>,
}

impl VendorOptions {
    fn build(self) -> Box<dyn Vendor> {
        match self {
            Self::Twilio { account_sid, auth_token, api_keys, senders, services, redaction } => {
                Box::new(twilio::TwilioAccount::new(account_sid, auth_token, api_keys, senders, services, redaction))
            }
            Self::Json { token } => Box::new(json_provider::JsonAccount::new(token)),
            Self::HostedHook { secret, client } => Box::new(hosted_hook::HostedHook::new(secret, client)),
        }
    }
}

impl ProviderOptions {
    /// A Twilio account on a free local port.
    #[must_use]
    pub fn twilio(name: impl Into<String>, account_sid: impl Into<String>, auth_token: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            vendor: VendorOptions::Twilio {
                account_sid: account_sid.into(),
                auth_token: Secret::new(auth_token),
                api_keys: Vec::new(),
                senders: Vec::new(),
                services: Vec::new(),
                redaction: false,
            },
        }
    }

    /// An account of the JSON provider on a free local port.
    #[must_use]
    pub fn json(name: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            vendor: VendorOptions::Json { token: Secret::new(token) },
        }
    }

    /// A hosted Okta hook on a free local port, which takes this value of the header `Authorization`.
    #[must_use]
    pub fn hosted_hook(name: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            vendor: VendorOptions::HostedHook { secret: Secret::new(secret), client: None },
        }
    }
}

/// What a sandbox is made of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The orgs.
    pub orgs: Vec<OrgOptions>,
    /// The provider accounts.
    pub providers: Vec<ProviderOptions>,
    /// Where the control API listens (plain HTTP); nowhere when absent.
    pub control: Option<SocketAddr>,
    /// The authority; a new one when absent.
    pub authority: Option<Authority>,
    /// Names and addresses the listeners' certificate is for, besides loopback's.
    pub hosts: Vec<String>,
    /// The listeners' certificate, when it is not to be the authority's.
    pub certificate: Option<Issued>,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate could not be made or read.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// An address could not be bound.
    #[error("listening on {addr} for {what}")]
    Listen {
        /// For whom.
        what: String,
        /// Where.
        addr: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Two parties have one name, or an account is no account.
    #[error("{0}")]
    Options(String),
}

pub(crate) struct Inner {
    pub(crate) orgs: Vec<Arc<Org>>,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) inbox: Arc<Inbox>,
    authority: Authority,
}

/// A running sandbox. Everything in it stops when the last clone is dropped, or by [`Sandbox::stop`].
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    control: Option<SocketAddr>,
    stop: Arc<StopOnDrop>,
}

struct StopOnDrop(CancellationToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Sandbox {
    /// Starts every listener. Nothing is global: any number can run in one process.
    ///
    /// # Errors
    /// When an option is wrong, a certificate cannot be made or an address cannot be bound.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        check_names(&options)?;
        let authority = match options.authority {
            Some(authority) => authority,
            None => Authority::create()?,
        };
        let certificate = if let Some(certificate) = options.certificate {
            certificate
        } else {
            let mut hosts = options.hosts;
            for own in ["localhost", "127.0.0.1", "::1"] {
                if !hosts.iter().any(|host| host == own) {
                    hosts.push(own.to_owned());
                }
            }
            authority.issue(&hosts)?
        };
        let stop = CancellationToken::new();
        let guard = Arc::new(StopOnDrop(stop.clone()));
        let inbox = Arc::new(Inbox::default());
        // Its sender is gone, so this door can never be shut.
        let (_, open) = watch::channel(false);
        // Okta speaks HTTP/2; providers are met as most of them are
        let (of_okta, of_providers) = (certificate.acceptor(true)?, certificate.acceptor(false)?);
        let listen = async |handler: Arc<dyn exchange::Handler>, what: String, addr, refusing, tls: &TlsAcceptor| {
            let bound = listener::listen(addr, Some(tls.clone()), handler, refusing, stop.clone())
                .await
                .map_err(|source| StartError::Listen { what: what.clone(), addr, source })?;
            tracing::info!(%what, %bound, "listening");
            Ok::<_, StartError>(bound)
        };

        let mut orgs = Vec::new();
        for options in options.orgs {
            let addr = options.listen;
            let org = Arc::new(Org::new(options, authority.cert_pem(), Arc::clone(&inbox))?);
            let what = format!("org {}", org.name());
            org.listens_at(listen(Arc::clone(&org) as _, what, addr, open.clone(), &of_okta).await?);
            orgs.push(org);
        }
        let mut providers = Vec::new();
        for options in options.providers {
            let addr = options.listen;
            let vendor = options.vendor.build();
            let provider = Arc::new(Provider::new(options.name, vendor, Arc::clone(&inbox)));
            let what = format!("provider {}", provider.name());
            let bound = listen(Arc::clone(&provider) as _, what, addr, provider.refusing(), &of_providers).await?;
            provider.listens_at(bound);
            providers.push(provider);
        }
        let inner = Arc::new(Inner { orgs, providers, inbox, authority });
        let control = match options.control {
            None => None,
            Some(addr) => {
                let handler = Arc::new(control::Control::new(Arc::clone(&inner)));
                let bound = listener::listen(addr, None, handler, open, stop.clone())
                    .await
                    .map_err(|source| StartError::Listen { what: "the control API".to_owned(), addr, source })?;
                tracing::info!(%bound, "control API listening");
                Some(bound)
            }
        };
        Ok(Self { inner, control, stop: guard })
    }

    /// The org of this name.
    #[must_use]
    pub fn org(&self, name: &str) -> Option<&Arc<Org>> {
        self.inner.orgs.iter().find(|org| org.name() == name)
    }

    /// Every org.
    #[must_use]
    pub fn orgs(&self) -> &[Arc<Org>] {
        &self.inner.orgs
    }

    /// The provider account of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.inner.providers.iter().find(|c| c.name() == name)
    }

    /// Every provider account.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.inner.providers
    }

    /// The handset.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    /// The authority of the listeners' certificate; what the orgs trust unless told otherwise.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// Where the control API listens.
    #[must_use]
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Stops every listener and every call in flight.
    pub fn stop(&self) {
        self.stop.0.cancel();
    }
}

fn check_names(options: &Options) -> Result<(), StartError> {
    let wrong = |why: String| Err(StartError::Options(why));
    let mut names: Vec<&str> = Vec::new();
    for name in
        options.orgs.iter().map(|org| org.name.as_str()).chain(options.providers.iter().map(|c| c.name.as_str()))
    {
        let sane = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !sane {
            return wrong("a name is 1 to 64 letters, digits, '-', '_' and '.'".to_owned());
        }
        if names.contains(&name) {
            return wrong(format!("the name {name} is taken twice"));
        }
        names.push(name);
    }
    for provider in &options.providers {
        if let VendorOptions::Twilio { account_sid, .. } = &provider.vendor {
            let sane = account_sid
                .strip_prefix("AC")
                .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
            if !sane {
                return wrong(format!("{}: an account SID is AC and 32 hexadecimal digits", provider.name));
            }
        }
    }
    Ok(())
}
