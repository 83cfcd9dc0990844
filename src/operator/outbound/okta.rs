//! How an org's management API is reached; tests put an org of their own behind it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use ipnet::IpNet;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::operator::{model::org_access::Access, options::Options};
use hookswitch_fair::Bounds;
use hookswitch_net as net;
use hookswitch_net::{Answer, Connector, Exception, Lookups, NetError, Policy, Request, SendError};
use hookswitch_okta::{Api, HookId, OktaClient, client::CallResult, log, types::OrgDocument};

/// One org's management API.
pub trait OrgApi: Api {
    /// What the org that answers says of itself.
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgDocument>>;
    /// Makes Okta call a hook, and answers what the hook said.
    fn execute<'a>(&'a self, id: &'a HookId, body: &'a Value, deadline: Duration) -> BoxFuture<'a, CallResult<Value>>;
    /// A page of the System Log.
    fn log<'a>(&'a self, from: &'a log::From) -> BoxFuture<'a, CallResult<log::Page>>;
}

impl OrgApi for OktaClient {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgDocument>> {
        self.organization().boxed()
    }

    fn execute<'a>(&'a self, id: &'a HookId, body: &'a Value, deadline: Duration) -> BoxFuture<'a, CallResult<Value>> {
        Self::execute(self, id, body, deadline).boxed()
    }

    fn log<'a>(&'a self, from: &'a log::From) -> BoxFuture<'a, CallResult<log::Page>> {
        Self::log(self, from).boxed()
    }
}

/// Calls a hook's public address.
pub trait HookCaller: Send + Sync {
    /// Makes a connection to the host of a URL, with TLS, and sends nothing.
    fn reach<'a>(&'a self, url: &'a Url, deadline: Instant) -> BoxFuture<'a, Result<(), SendError>>;
    /// Sends one request over a connection of its own.
    fn call<'a>(&'a self, request: &'a Request, deadline: Instant) -> BoxFuture<'a, Result<Answer, SendError>>;
}

impl HookCaller for Connector {
    fn reach<'a>(&'a self, url: &'a Url, deadline: Instant) -> BoxFuture<'a, Result<(), SendError>> {
        Self::reach(self, url, deadline).boxed()
    }

    fn call<'a>(&'a self, request: &'a Request, deadline: Instant) -> BoxFuture<'a, Result<Answer, SendError>> {
        self.send(request, deadline, MOST_ANSWER).boxed()
    }
}

/// Most bytes of a hook's answer that are read: Okta takes what is smaller than 256 KiB.
const MOST_ANSWER: usize = 256 * 1024 - 1;

/// Makes clients of orgs.
pub trait OktaClientFactory: Send + Sync {
    /// A client of the org. Nothing is sent yet.
    ///
    /// # Errors
    /// [`NetError`] when the CA bundle or the proxy cannot be used.
    fn client(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError>;
    /// What calls the addresses of a namespace's hooks, trusting the certificates that the hooks' org is reached with, also in
    /// these private ranges.
    ///
    /// # Errors
    /// [`NetError`] when the CA bundle or the proxy cannot be used.
    fn caller(
        &self,
        namespace: &str,
        ca_bundle: Option<&str>,
        ranges: &[IpNet],
    ) -> Result<Arc<dyn HookCaller>, NetError>;
}

/// Dials over the network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Proxy for all calls but the excepted ones.
    pub proxy: Option<Url>,
    /// What is called without it.
    pub proxy_exceptions: Vec<Exception>,
    /// PEM certificates trusted for all orgs besides the public ones.
    pub extra_roots: Option<String>,
    /// Who resolves names for all namespaces.
    lookups: Lookups,
    /// What calls hooks' addresses, by namespace and by whom it trusts: to read certificates takes longer than a call.
    callers: Arc<Mutex<BTreeMap<String, Callers>>>,
}

type Callers = BTreeMap<Trust, Arc<Connector>>;

/// The CA bundle that is trusted, and the private ranges that are called.
type Trust = (Option<String>, Vec<IpNet>);

/// Most of them kept ready for one namespace.
const MOST_CALLERS: usize = 8;

/// Most namespaces that callers are kept ready for.
const MOST_NAMESPACES: usize = 1_024;

/// Names resolved at once, each by a thread: well below what there may be of these.
const LOOKUPS: Bounds = Bounds { all: 128, each: 8, urgent: 4, all_urgent: 256 };

impl OktaClientFactory for Network {
    fn client(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        let http = net::Client::new(&self.policy(&access.namespace, access.ca_bundle.as_deref(), &access.ranges))?;
        Ok(Arc::new(OktaClient::new(access.url.clone(), access.credential.clone(), http)))
    }

    fn caller(
        &self,
        namespace: &str,
        ca_bundle: Option<&str>,
        ranges: &[IpNet],
    ) -> Result<Arc<dyn HookCaller>, NetError> {
        let mut all = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (ca_bundle.map(str::to_owned), ranges.to_vec());
        if let Some(caller) = all.get(namespace).and_then(|callers| callers.get(&key)) {
            return Ok(Arc::clone(caller) as Arc<dyn HookCaller>);
        }
        // what Okta would meet now is the question, so no connection is kept
        let policy = Policy { keep_no_connection: true, ..self.policy(namespace, ca_bundle, ranges) };
        let caller = Arc::new(Connector::new(&policy)?);
        if all.len() >= MOST_NAMESPACES {
            all.clear();
        }
        let callers = all.entry(namespace.to_owned()).or_default();
        if callers.len() >= MOST_CALLERS {
            callers.clear();
        }
        callers.insert(key, Arc::clone(&caller));
        Ok(caller)
    }
}

impl Network {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(options: &Options, extra_roots: Option<String>) -> Self {
        Self {
            proxy: options.proxy(),
            proxy_exceptions: options.no_proxy.clone(),
            extra_roots,
            lookups: Lookups::shared(LOOKUPS),
            callers: Arc::default(),
        }
    }

    fn policy(&self, namespace: &str, ca_bundle: Option<&str>, ranges: &[IpNet]) -> Policy {
        let roots: Vec<&str> = self.extra_roots.as_deref().into_iter().chain(ca_bundle).collect();
        Policy {
            allowed_cidrs: ranges.to_vec(),
            proxy: self.proxy.clone(),
            proxy_exceptions: self.proxy_exceptions.clone(),
            extra_roots_pem: (!roots.is_empty()).then(|| roots.join("\n")),
            keep_no_connection: false,
            lookups: Some(self.lookups.of(namespace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use hookswitch_okta::{OktaCredential, OrgUrl};

    use super::*;
    use hookswitch_net::Unsent;
    use hookswitch_okta::types::ApiToken;

    fn network() -> Network {
        Network {
            proxy: None,
            proxy_exceptions: Vec::new(),
            extra_roots: None,
            lookups: Lookups::default(),
            callers: Arc::default(),
        }
    }

    fn is_connected_to(listener: &TcpListener) -> bool {
        std::iter::from_fn(|| listener.accept().ok()).count() > 0
    }

    #[tokio::test]
    async fn an_org_or_hook_at_a_private_address_is_not_connected_to_however_it_is_spelled() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "localhost"] {
            let text = format!("https://{host}:{port}");
            let (network, local) = (network(), ["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap()));
            let access = |ranges: &[IpNet]| {
                let credential = OktaCredential::ApiToken(ApiToken::new("token").unwrap());
                let url = OrgUrl::parse(&text).unwrap();
                let (namespace, ranges) = ("otp".to_owned(), ranges.to_vec());
                network.client(&Access { namespace, url, credential, ca_bundle: None, ranges }).unwrap()
            };
            let url = Url::parse(&text).unwrap();
            let soon = || Instant::now() + Duration::from_millis(300);

            let error = access(&[]).identity().await.unwrap_err();
            assert_eq!(error.reason(), "OktaUnreachable", "{host}");
            assert!(error.to_string().contains("network.allowedCIDRs"), "{host}: {error}");
            let opened = network.caller("otp", None, &local).unwrap();
            let guarded = network.caller("otp", None, &[]).unwrap();
            assert_eq!(guarded.reach(&url, soon()).await, Err(SendError::NotSent { cause: Unsent::Guard }), "{host}");
            assert!(!is_connected_to(&listener), "{host}");

            let _ = opened.reach(&url, soon()).await;
            assert!(is_connected_to(&listener), "{host}: what one namespace may call is called for it");
            let _ = tokio::time::timeout(Duration::from_millis(300), access(&local).identity()).await;
            assert!(is_connected_to(&listener), "{host}: what is allowed is called");
        }
    }
}
