//! A client of the control API.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::faults::Fault;
use crate::inbox::Message;
use crate::okta::{Asked, SendReport, SendRequest};
use crate::phone::Area;
use crate::provider::ProviderCall;

/// Longer than any hook may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The whole inbox fits.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

pub(super) struct Client {
    base: url::Url,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(base: &str) -> anyhow::Result<Self> {
        let base = url::Url::parse(base).context("the control API's address is no URL")?;
        if base.scheme() != "http" || base.cannot_be_a_base() {
            bail!("the control API speaks plain http");
        }
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(TIMEOUT).build()?;
        Ok(Self { base, http })
    }

    pub(super) async fn send(&self, org: Option<&str>, request: &SendRequest) -> anyhow::Result<SendReport> {
        let query: Vec<_> = org.map(|org| ("org", org)).into_iter().collect();
        self.ask(Method::POST, &["v1", "send"], &query, Some(request)).await
    }

    pub(super) async fn inbox(&self, to: Option<&str>) -> anyhow::Result<Vec<Message>> {
        let query: Vec<_> = to.map(|to| ("to", to)).into_iter().collect();
        self.get(&["v1", "inbox"], &query).await
    }

    pub(super) async fn clear_inbox(&self, to: Option<&str>) -> anyhow::Result<Value> {
        let query: Vec<_> = to.map(|to| ("to", to)).into_iter().collect();
        self.ask(Method::DELETE, &["v1", "inbox"], &query, None::<&()>).await
    }

    pub(super) async fn set_fault(&self, provider: &str, fault: &Fault) -> anyhow::Result<Vec<Fault>> {
        let path = ["v1", "carriers", provider, "faults"];
        self.ask(Method::POST, &path, &[], Some(fault)).await
    }

    pub(super) async fn clear_faults(&self, provider: &str, area: Option<&Area>) -> anyhow::Result<Vec<Fault>> {
        let area = area.cloned().map(String::from);
        let query: Vec<_> = area.as_deref().map(|area| ("country", area)).into_iter().collect();
        let path = ["v1", "carriers", provider, "faults"];
        self.ask(Method::DELETE, &path, &query, None::<&()>).await
    }

    pub(super) async fn of_org<T: DeserializeOwned>(&self, org: Option<&str>, what: &str) -> anyhow::Result<Vec<T>> {
        let org = self.named(org).await?;
        self.get(&["v1", "orgs", &org, what], &[]).await
    }

    pub(super) async fn begin_traffic(&self, org: Option<&str>, per_second: u32) -> anyhow::Result<Value> {
        let org = self.named(org).await?;
        let rate = serde_json::json!({"perSecond": per_second});
        self.ask(Method::POST, &["v1", "orgs", &org, "traffic"], &[], Some(&rate)).await
    }

    pub(super) async fn end_traffic(&self, org: Option<&str>) -> anyhow::Result<Vec<Asked>> {
        let org = self.named(org).await?;
        self.ask(Method::DELETE, &["v1", "orgs", &org, "traffic"], &[], None::<&()>).await
    }

    pub(super) async fn admin(
        &self,
        org: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let org = self.named(org).await?;
        let call = serde_json::json!({"method": method, "path": path, "body": body});
        self.ask(Method::POST, &["v1", "orgs", &org, "admin"], &[], Some(&call)).await
    }

    pub(super) async fn provider_calls(&self) -> anyhow::Result<BTreeMap<String, Vec<ProviderCall>>> {
        let providers: Vec<Value> = self.get(&["v1", "carriers"], &[]).await?;
        let mut out = BTreeMap::new();
        for name in providers.iter().filter_map(|c| c["name"].as_str()) {
            let calls = self.get(&["v1", "carriers", name, "calls"], &[]).await?;
            out.insert(name.to_owned(), calls);
        }
        Ok(out)
    }

    async fn named(&self, org: Option<&str>) -> anyhow::Result<String> {
        if let Some(org) = org {
            return Ok(org.to_owned());
        }
        let orgs: Vec<Value> = self.get(&["v1", "orgs"], &[]).await?;
        let first = orgs.first().and_then(|org| org["name"].as_str());
        Ok(first.context("the sandbox has no org")?.to_owned())
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<T> {
        self.ask(Method::GET, path, query, None::<&()>).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(serde_json::to_string(body)?);
        }
        let mut response = request.send().await.map_err(|error| {
            // The query may hold a number: the address stays out of the message.
            anyhow::Error::from(error.without_url()).context(format!("speaking to the sandbox at {}", self.base))
        })?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                bail!("the sandbox's answer is too large");
            }
        }
        if !status.is_success() {
            let answered: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let why = answered["error"].as_str().unwrap_or("no reason given");
            bail!("the sandbox refused ({status}): {why}");
        }
        serde_json::from_slice(&answer).context("the sandbox's answer cannot be read")
    }
}
