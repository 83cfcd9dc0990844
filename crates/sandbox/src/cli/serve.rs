//! `serve`: options from flags and environment, a sandbox until it is asked to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::certs::{Authority, Issued};
use crate::hosted_hook::HookClient;
use crate::okta::{OrgOptions, RateLimit};
use crate::secret::Secret;
use crate::{Options, ProviderOptions, Sandbox, VendorOptions, VerifyService};

/// Runs the simulated parties. Every flag can be given in the environment.
#[derive(Args)]
pub struct Serve {
    /// Where the control API listens (plain HTTP, no authentication).
    #[arg(long, env = "HOOKSWITCH_SANDBOX_CONTROL_LISTEN", default_value = "127.0.0.1:8025")]
    control_listen: SocketAddr,
    /// Where the first org listens (HTTPS).
    #[arg(long, env = "HOOKSWITCH_SANDBOX_OKTA_LISTEN", default_value = "127.0.0.1:8440")]
    okta_listen: SocketAddr,
    /// Where the first provider account listens (HTTPS); each further one takes the next port.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_CARRIER_LISTEN", default_value = "127.0.0.1:8450")]
    carrier_listen: SocketAddr,
    /// An org as NAME:TOKEN; each further one takes the next port.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_ORGS", value_delimiter = ',', hide_env_values = true)]
    org: Vec<String>,
    /// An org's own URL as NAME=URL, as in its links.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_ORG_URLS", value_delimiter = ',')]
    org_url: Vec<String>,
    /// A Twilio account as [NAME=]SID:TOKEN.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TWILIO_ACCOUNTS", value_delimiter = ',', hide_env_values = true)]
    twilio_account: Vec<String>,
    /// An API key of a Twilio account as NAME=SID:SECRET.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TWILIO_API_KEYS", value_delimiter = ',', hide_env_values = true)]
    twilio_api_key: Vec<String>,
    /// A sender a Twilio account owns as NAME=SENDER; any when none is given.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TWILIO_SENDERS", value_delimiter = ',')]
    twilio_sender: Vec<String>,
    /// A Verify service of a Twilio account as NAME=SID:FRIENDLY-NAME, which takes passcodes of others.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TWILIO_SERVICES", value_delimiter = ',')]
    twilio_service: Vec<String>,
    /// The NAME of a Twilio account that Message Redaction is enabled for.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TWILIO_REDACTION", value_delimiter = ',')]
    twilio_redaction: Vec<String>,
    /// An account of the JSON provider as NAME:TOKEN.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_JSON_ACCOUNTS", value_delimiter = ',', hide_env_values = true)]
    json_account: Vec<String>,
    /// A hosted Okta hook as NAME:SECRET, the secret being the whole header `Authorization`, or that of its client.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_HOSTED_HOOKS", value_delimiter = ',', hide_env_values = true)]
    hosted_hook: Vec<String>,
    /// The OAuth 2.0 client that calls a hosted hook, as NAME=ID; the hook takes its tokens alone then.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_HOSTED_HOOK_CLIENTS", value_delimiter = ',')]
    hosted_hook_client: Vec<String>,
    /// Where the sandbox's authority is kept (ca.crt, ca.key); made there when absent.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TLS_DIR")]
    tls_dir: Option<PathBuf>,
    /// The listeners' certificate, instead of one by the authority.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authority the orgs trust when they call a hook, instead of the sandbox's own.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_TRUST")]
    trust: Option<PathBuf>,
    /// A name or address the listeners' certificate is for.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_HOSTS", value_delimiter = ',')]
    host: Vec<String>,
    /// HOST=ADDRESS:PORT, or HOST=NAME:PORT: where a hook's host is found.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_RESOLVE", value_delimiter = ',')]
    resolve: Vec<String>,
    /// The undocumented behaviours that differ from their defaults, as JSON.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_BEHAVIOUR", default_value = "{}")]
    behaviour: String,
    /// Messages a minute of Okta's own sender; instead of `fallbackPerMinute` of the behaviour.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_FALLBACK_PER_MINUTE")]
    fallback_per_minute: Option<u32>,
    /// Management calls a minute.
    #[arg(long, env = "HOOKSWITCH_SANDBOX_RATE_LIMIT", default_value_t = 1_000)]
    rate_limit: u64,
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Accounts carry their tokens.
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

impl Serve {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let sandbox = Sandbox::start(self.options()?).await?;
        stopped().await?;
        sandbox.stop();
        // Answers already on their way get a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    fn options(&self) -> anyhow::Result<Options> {
        let authority = self.tls_dir.as_deref().map(Authority::in_dir).transpose()?;
        let certificate = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(Issued::from_files(cert, key)?),
            _ => None,
        };
        Ok(Options {
            orgs: self.orgs()?,
            providers: self.providers()?,
            control: Some(self.control_listen),
            authority,
            hosts: self.host.clone(),
            certificate,
        })
    }

    fn orgs(&self) -> anyhow::Result<Vec<OrgOptions>> {
        let trusts =
            self.trust.as_deref().map(std::fs::read_to_string).transpose().context("reading the authority to trust")?;
        let resolve = self
            .resolve
            .iter()
            .map(|word| pair(word, '=', "--resolve is HOST=ADDRESS:PORT"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if resolve.iter().any(|(_, to)| !to.contains(':')) {
            bail!("--resolve is HOST=ADDRESS:PORT");
        }
        let urls = self
            .org_url
            .iter()
            .map(|word| pair(word, '=', "--org-url is NAME=URL"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut behaviour: crate::okta::behaviour::Behaviour =
            serde_json::from_str(&self.behaviour).context("--behaviour")?;
        if let Some(limit) = self.fallback_per_minute {
            behaviour.fallback_per_minute = limit;
        }
        let mut orgs = Vec::new();
        for (at, word) in self.org.iter().enumerate() {
            let (name, token) = pair(word, ':', "--org is NAME:TOKEN")?;
            let mut org = OrgOptions::new(name, token);
            org.listen = nth_port(self.okta_listen, at)?;
            org.public_url =
                urls.iter().find(|(name, _)| *name == org.name).map(|(_, url)| url.trim_end_matches('/').to_owned());
            org.rate_limit = RateLimit { calls: self.rate_limit, ..RateLimit::default() };
            org.trusts.clone_from(&trusts);
            org.resolve.clone_from(&resolve);
            org.behaviour = behaviour.clone();
            orgs.push(org);
        }
        if let Some((name, _)) = urls.iter().find(|(name, _)| orgs.iter().all(|org| org.name != *name)) {
            bail!("--org-url names {name}, which is no org");
        }
        Ok(orgs)
    }

    fn hosted_hooks(&self) -> anyhow::Result<Vec<ProviderOptions>> {
        let mut hooks = Vec::new();
        for word in &self.hosted_hook {
            let (name, secret) = pair(word, ':', "--hosted-hook is NAME:SECRET")?;
            hooks.push(ProviderOptions::hosted_hook(name, secret));
        }
        for word in &self.hosted_hook_client {
            let (name, id) = pair(word, '=', "--hosted-hook-client is NAME=ID")?;
            let known = HookClient { id, scope: None, lifetime: Duration::from_hours(1) };
            let hook = hooks.iter_mut().find(|hook| hook.name == name);
            match hook.map(|hook| &mut hook.vendor) {
                Some(VendorOptions::HostedHook { client, .. }) => *client = Some(known),
                _ => bail!("--hosted-hook-client names {name}, which is no hosted hook"),
            }
        }
        Ok(hooks)
    }

    fn providers(&self) -> anyhow::Result<Vec<ProviderOptions>> {
        let mut senders = self
            .twilio_sender
            .iter()
            .map(|word| pair(word, '=', "--twilio-sender is NAME=SENDER"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut api_keys = self
            .twilio_api_key
            .iter()
            .map(|word| {
                let (name, key) = pair(word, '=', API_KEY)?;
                Ok((name, pair(&key, ':', API_KEY)?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut services = self
            .twilio_service
            .iter()
            .map(|word| {
                let (name, service) = pair(word, '=', SERVICE)?;
                Ok((name, pair(&service, ':', SERVICE)?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut providers = Vec::new();
        for (at, word) in self.twilio_account.iter().enumerate() {
            let (account, token) = pair(word, ':', "--twilio-account is [NAME=]SID:TOKEN")?;
            let (name, sid) = match account.split_once('=') {
                Some((name, sid)) => (name.to_owned(), sid.to_owned()),
                None if at == 0 => ("twilio".to_owned(), account),
                None => (account.clone(), account),
            };
            let own = senders.extract_if(.., |(of, _)| *of == name).map(|(_, sender)| sender).collect();
            let keys = api_keys
                .extract_if(.., |(of, _)| *of == name)
                .map(|(_, (sid, secret))| (sid, Secret::new(secret)))
                .collect();
            let services = services
                .extract_if(.., |(of, _)| *of == name)
                .map(|(_, (sid, friendly_name))| VerifyService {
                    sid,
                    friendly_name,
                    custom_codes: true,
                    templates: Vec::new(),
                })
                .collect();
            let redaction = self.twilio_redaction.contains(&name);
            providers.push(ProviderOptions {
                name,
                listen: self.carrier_listen,
                vendor: VendorOptions::Twilio {
                    account_sid: sid,
                    auth_token: Secret::new(token),
                    api_keys: keys,
                    senders: own,
                    services,
                    redaction,
                },
            });
        }
        let is_an_account = |name: &String| providers.iter().any(|provider: &ProviderOptions| provider.name == *name);
        if let Some(name) = self.twilio_redaction.iter().find(|name| !is_an_account(name)) {
            bail!("--twilio-redaction names {name}, which is no Twilio account");
        }
        if let Some((name, _)) = services.first() {
            bail!("--twilio-service names {name}, which is no Twilio account");
        }
        if let Some((name, _)) = api_keys.first() {
            bail!("--twilio-api-key names {name}, which is no Twilio account");
        }
        if let Some((name, _)) = senders.first() {
            bail!("--twilio-sender names {name}, which is no Twilio account");
        }
        for word in &self.json_account {
            let (name, token) = pair(word, ':', "--json-account is NAME:TOKEN")?;
            providers.push(ProviderOptions::json(name, token));
        }
        providers.extend(self.hosted_hooks()?);
        for (at, provider) in providers.iter_mut().enumerate() {
            provider.listen = nth_port(self.carrier_listen, at)?;
        }
        Ok(providers)
    }
}

/// How a Verify service is given.
const SERVICE: &str = "--twilio-service is NAME=SID:FRIENDLY-NAME";

/// How an API key is given.
const API_KEY: &str = "--twilio-api-key is NAME=SID:SECRET";

/// Splits at the first separator; the word itself is never in the error, it may hold a token.
fn pair(word: &str, at: char, usage: &'static str) -> anyhow::Result<(String, String)> {
    match word.split_once(at) {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => bail!(usage),
    }
}

/// The address with its port moved on, or any free port when the port is 0.
fn nth_port(first: SocketAddr, at: usize) -> anyhow::Result<SocketAddr> {
    if first.port() == 0 {
        return Ok(first);
    }
    let port = u16::try_from(at)
        .ok()
        .and_then(|at| first.port().checked_add(at))
        .context("there are not enough ports for the accounts")?;
    Ok(SocketAddr::new(first.ip(), port))
}

async fn stopped() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    const SID: &str = "AC0123456789abcdef0123456789abcdef";

    fn parsed(line: &str) -> Serve {
        Line::parse_from(std::iter::once("serve").chain(line.split_whitespace())).serve
    }

    #[test]
    fn accounts_take_ports_in_order_and_the_first_twilio_account_is_called_twilio() {
        let serve = parsed(&format!(
            "--twilio-account {SID}:a --twilio-account second={SID}:b --json-account acme:c --twilio-sender second=+15005550006 --twilio-api-key second=SK1:d --twilio-service second=VA1:Acme --twilio-redaction second"
        ));
        let providers = serve.providers().unwrap();
        let ports: Vec<_> = providers.iter().map(|c| (c.name.as_str(), c.listen.port())).collect();
        assert_eq!(ports, [("twilio", 8450), ("second", 8451), ("acme", 8452)]);
        let VendorOptions::Twilio { senders, api_keys, services, redaction, .. } = &providers[1].vendor else {
            panic!("not Twilio");
        };
        assert!(*redaction && services[0].custom_codes && services[0].friendly_name == "Acme");
        assert_eq!(senders, &["+15005550006"]);
        assert_eq!(api_keys.iter().map(|(sid, _)| sid.as_str()).collect::<Vec<_>>(), ["SK1"]);
    }

    #[test]
    fn an_org_gets_its_url_its_resolution_and_its_behaviour() {
        let serve = parsed(
            "--org acme:token --org-url acme=https://okta.test/ --resolve otp.example.com=gw.ns.svc:443 --behaviour {\"secondActivation\":\"takes-over\"} --fallback-per-minute 1",
        );
        let orgs = serve.orgs().unwrap();
        assert_eq!(orgs[0].public_url.as_deref(), Some("https://okta.test"));
        assert_eq!(orgs[0].resolve, [("otp.example.com".to_owned(), "gw.ns.svc:443".to_owned())]);
        assert_eq!(orgs[0].behaviour.fallback_per_minute, 1);
    }

    #[test]
    fn a_malformed_account_is_refused_without_repeating_it() {
        for line in [
            "--org tokenalone",
            "--org a:b --org-url other=https://x",
            "--org a:b --resolve nowhere",
            "--org a:b --behaviour {\"unknown\":1}",
        ] {
            let error = format!("{:#}", parsed(line).orgs().unwrap_err());
            assert!(!error.contains("tokenalone"), "{error}");
        }
        assert!(parsed("--json-account name").providers().is_err());
        assert!(parsed("--twilio-sender x=+1500").providers().is_err());
        assert!(parsed("--twilio-redaction x").providers().is_err());
        assert!(parsed("--twilio-service x=VA1:Acme").providers().is_err());
        for line in ["--twilio-api-key x=SK1:secretalone", "--twilio-api-key secretalone"] {
            let error = format!("{:#}", parsed(line).providers().unwrap_err());
            assert!(!error.contains("secretalone"), "{error}");
        }
    }
}
