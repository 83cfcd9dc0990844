//! A sandbox with one org and two providers, clients that trust it, and a hook that answers as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch_sandbox::okta::{Org, OrgOptions};
use hookswitch_sandbox::{Options, ProviderOptions, Sandbox};
use reqwest::{Method, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) const TOKEN: &str = "token-of-the-org";
pub(crate) const POWERLESS: &str = "token-without-permission";
pub(crate) const SID: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TWILIO_TOKEN: &str = "token-of-twilio";
pub(crate) const API_KEY: (&str, &str) = ("SK0123456789abcdef0123456789abcdef", "secret-of-the-key");
pub(crate) const JSON_TOKEN: &str = "token-of-the-json-provider";
pub(crate) const SECRET: &str = "Basic aG9vazpzZWNyZXQ=";
pub(crate) const SENDER: &str = "+15005550006";
pub(crate) const HANDSET: &str = "+46701234567";
pub(crate) const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";
pub(crate) const SERVICE_WITHOUT_CODES: &str = "VA1123456789abcdef0123456789abcdef";
pub(crate) const TEMPLATE: &str = "HJ0123456789abcdef0123456789abcdef";

pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: reqwest::Client,
}

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn code(&self) -> &str {
        self.body["errorCode"].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }
}

fn service(sid: &str, custom_codes: bool) -> hookswitch_sandbox::VerifyService {
    hookswitch_sandbox::VerifyService {
        sid: sid.to_owned(),
        friendly_name: "Acme".to_owned(),
        custom_codes,
        templates: vec![TEMPLATE.to_owned()],
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut OrgOptions)) -> Self {
        let mut org = OrgOptions::new("acme", TOKEN);
        org.powerless_tokens = vec![hookswitch_sandbox::secret::Secret::new(POWERLESS)];
        change(&mut org);
        let mut twilio = ProviderOptions::twilio("twilio", SID, TWILIO_TOKEN);
        if let hookswitch_sandbox::VendorOptions::Twilio { senders, api_keys, services, .. } = &mut twilio.vendor {
            services.push(service(SERVICE, true));
            services.push(service(SERVICE_WITHOUT_CODES, false));
            senders.push(SENDER.to_owned());
            api_keys.push((API_KEY.0.to_owned(), hookswitch_sandbox::secret::Secret::new(API_KEY.1)));
        }
        let sandbox = Sandbox::start(Options {
            orgs: vec![org],
            providers: vec![twilio, ProviderOptions::json("json", JSON_TOKEN)],
            control: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..Options::default()
        })
        .await
        .unwrap();
        let http = client(sandbox.authority().cert_pem());
        Self { sandbox, http }
    }

    pub(crate) fn org(&self) -> &Arc<Org> {
        self.sandbox.org("acme").unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.org().addr())
    }

    /// A call of the management API.
    pub(crate) async fn okta(&self, method: Method, path: &str, body: Option<&Value>) -> Got {
        let mut request = self
            .http
            .request(method, self.url(path))
            .header("authorization", format!("SSWS {TOKEN}"))
            .header("accept", "application/json");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        got(request).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str) -> Got {
        self.okta(Method::POST, path, None).await
    }

    pub(crate) async fn create(&self, body: &Value) -> Got {
        self.okta(Method::POST, "/api/v1/inlineHooks", Some(body)).await
    }

    /// The status of a hook as it reads back.
    pub(crate) async fn status(&self, id: &str) -> String {
        let path = format!("/api/v1/inlineHooks/{id}");
        let hook = self.okta(Method::GET, &path, None).await;
        hook.body["status"].as_str().unwrap_or("none").to_owned()
    }

    /// A hook that answers as told, registered and active.
    pub(crate) async fn hooked(&self, says: Says) -> Hook {
        let hook = Hook::start(&self.sandbox, says).await;
        let made = self.create(&telephony("standing", &hook.url("/hooks/main"))).await;
        assert_eq!(made.status, 200, "{}", made.body);
        hook
    }
}

pub(crate) fn client(ca_pem: &str) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap()])
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap()
}

pub(crate) async fn got(request: reqwest::RequestBuilder) -> reqwest::Result<Got> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    Ok(Got { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
}

/// The create body of a telephony hook.
pub(crate) fn telephony(name: &str, uri: &str) -> Value {
    json!({
        "name": name,
        "type": "com.okta.telephony.provider",
        "version": "1.0.0",
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {
            "uri": uri,
            "method": "POST",
            "headers": [{"key": "X-Env", "value": "test"}],
            "authScheme": {"type": "HEADER", "key": "Authorization", "value": SECRET},
        }},
    })
}

/// A well-formed answer of a hook.
pub(crate) fn answer(status: &str) -> Value {
    json!({"commands": [{"type": "com.okta.telephony.action", "value": [{
        "status": status, "provider": "TWILIO", "transactionId": "SM1",
        "transactionMetadata": "one attempt",
    }]}]})
}

/// What a hook does with a request.
#[derive(Clone)]
pub(crate) enum Says {
    Json(u16, Value),
    Raw(Vec<u8>),
    /// Writes this and keeps the connection open.
    Stuck(&'static [u8]),
    After(Duration, Box<Says>),
    Silence,
    HangUp,
}

impl Says {
    pub(crate) fn successful() -> Self {
        Self::Json(200, answer("SUCCESSFUL"))
    }
}

/// An HTTPS server that keeps what it is sent.
pub(crate) struct Hook {
    addr: SocketAddr,
    pub(crate) received: Arc<Mutex<Vec<String>>>,
}

impl Hook {
    pub(crate) async fn start(sandbox: &Sandbox, says: Says) -> Self {
        Self::trusted_by(sandbox.authority(), says).await
    }

    pub(crate) async fn trusted_by(authority: &hookswitch_sandbox::certs::Authority, says: Says) -> Self {
        let hosts = ["127.0.0.1".to_owned(), "otp.example.com".to_owned()];
        let issued = authority.issue(&hosts).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let received = Arc::clone(&received);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, received, says) = (acceptor.clone(), Arc::clone(&received), says.clone());
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &received, says).await;
                        }
                    });
                }
            }
        });
        Self { addr, received }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.addr)
    }

    /// The only request so far: its head, lower-cased, and its JSON.
    pub(crate) fn only_request(&self) -> (String, Value) {
        let received = self.received.lock().unwrap();
        assert_eq!(received.len(), 1, "requests");
        let (head, body) = received[0].split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), serde_json::from_str(body).unwrap())
    }

    pub(crate) fn requests(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

async fn serve<S>(mut stream: S, received: &Mutex<Vec<String>>, says: Says)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                received.lock().unwrap().push(text);
                break;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
    let mut says = says;
    while let Says::After(pause, then) = says {
        tokio::time::sleep(pause).await;
        says = *then;
    }
    let out = match says {
        Says::Json(status, body) => {
            let body = body.to_string();
            format!(
                "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        }
        Says::Raw(bytes) => bytes,
        Says::Stuck(begin) => {
            let _ = stream.write_all(begin).await;
            let _ = stream.flush().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            return;
        }
        Says::Silence => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            return;
        }
        Says::HangUp | Says::After(..) => return,
    };
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
}
