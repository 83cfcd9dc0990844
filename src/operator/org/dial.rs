//! How an org's management API is reached; tests put an org of their own behind it.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use ipnet::IpNet;
use url::Url;

use crate::{
    net::{self, NetError, Policy},
    okta::{Api, Client, Credential, OrgUrl, client::CallResult, types::OrgIdentity},
};

/// One org's management API.
pub trait OrgApi: Api {
    /// Which org answers.
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgIdentity>>;
}

impl OrgApi for Client {
    fn identity(&self) -> BoxFuture<'_, CallResult<OrgIdentity>> {
        self.organization().boxed()
    }
}

/// Where an org is, and how to prove who we are.
#[derive(Debug, Clone)]
pub struct Access {
    /// The org's address.
    pub url: OrgUrl,
    /// The credential.
    pub credential: Credential,
    /// PEM certificates trusted for this org besides the public ones.
    pub ca_bundle: Option<String>,
}

/// Makes clients of orgs.
pub trait Dial: Send + Sync {
    /// A client of the org. Nothing is sent yet.
    ///
    /// # Errors
    /// [`NetError`] when the CA bundle or the proxy cannot be used.
    fn dial(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError>;
}

/// Dials over the network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Private ranges that orgs may live in.
    pub allowed_cidrs: Vec<IpNet>,
    /// Proxy for all calls.
    pub proxy: Option<Url>,
    /// PEM certificates trusted for all orgs besides the public ones.
    pub extra_roots: Option<String>,
}

impl Dial for Network {
    fn dial(&self, access: &Access) -> Result<Arc<dyn OrgApi>, NetError> {
        let roots: Vec<&str> = self.extra_roots.iter().chain(&access.ca_bundle).map(String::as_str).collect();
        let policy = Policy {
            allowed_cidrs: self.allowed_cidrs.clone(),
            proxy: self.proxy.clone(),
            extra_roots_pem: (!roots.is_empty()).then(|| roots.join("\n")),
        };
        let http = net::client(&policy)?;
        Ok(Arc::new(Client::new(access.url.clone(), access.credential.clone(), http)))
    }
}
