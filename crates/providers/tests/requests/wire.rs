//! A server on this machine that takes requests as they come over HTTP, and the client that sends them there.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use hookswitch_request::Request;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::form;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    /// The name in `Host`, without the port.
    pub host: String,
    /// As it was written, percent signs and all.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    }

    /// The fields of the body, when it is a form.
    pub fn form(&self) -> Vec<(String, String)> {
        std::str::from_utf8(&self.body).ok().and_then(|text| form::pairs(text).ok()).unwrap_or_default()
    }
}

/// Server and client. Every name is this machine's, and TLS is left out; all else is as the adapter asked for.
pub struct Wire {
    runtime: Runtime,
    client: reqwest::Client,
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

struct HereOnly;

impl Resolve for HereOnly {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs) })
    }
}

impl Wire {
    /// # Panics
    /// When this machine has no port left.
    #[expect(clippy::disallowed_methods, reason = "it connects to what it opened itself")]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn(serve(listener, received.clone()));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(HereOnly))
            .build()
            .unwrap();
        Self { runtime, client, port, received }
    }

    /// Sends a request and gives back what arrived.
    ///
    /// # Errors
    /// What HTTP does not carry, or the client refuses to send.
    pub fn send(&self, request: &Request) -> Result<Received, String> {
        let mut url = request.url.clone();
        url.set_scheme("http").and_then(|()| url.set_port(Some(self.port))).map_err(|()| "no such URL".to_owned())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value.expose()).map_err(|error| format!("{name}: {error}"))?;
            headers.append(name.clone(), value);
        }
        let sending = self.client.request(request.method.clone(), url).headers(headers);
        let body = request.body.expose().clone();
        let sending = if body.is_empty() { sending } else { sending.body(body) };
        let answer = self.runtime.block_on(sending.send()).map_err(|error| error.to_string())?;
        assert_eq!(answer.status(), 204, "the server took it");
        self.received.lock().unwrap().pop().ok_or_else(|| "nothing arrived".to_owned())
    }
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let received = received.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let received = received.clone();
            async move {
                let arrived = read(request).await;
                let status = if arrived.is_some() { 204 } else { 400 };
                received.lock().unwrap().extend(arrived);
                let mut answer = Response::new(Empty::<Bytes>::new());
                *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn read(request: http::Request<Incoming>) -> Option<Received> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes().to_vec();
    let host = head.headers.get(header::HOST)?.to_str().ok()?;
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
    Some(Received { method: head.method, host, path, query, headers: head.headers, body })
}

#[test]
fn what_arrives_is_what_was_asked_for() {
    let wire = Wire::new();
    let request = |header: &str| Request {
        method: Method::POST,
        url: "https://api.vendor.example:8443/a%20b/c.json?x=%2B1&y".parse().unwrap(),
        headers: vec![(header::AUTHORIZATION, header.into()), (header::CONTENT_TYPE, "text/plain".into())],
        body: hookswitch_message::Secret::new("é".as_bytes().to_vec()),
    };
    let arrived = wire.send(&request("Basic a")).unwrap();
    assert_eq!((&arrived.method, arrived.host.as_str()), (&Method::POST, "api.vendor.example"));
    assert_eq!((arrived.path.as_str(), arrived.query.as_deref()), ("/a%20b/c.json", Some("x=%2B1&y")));
    assert_eq!((arrived.header("authorization").as_str(), arrived.body.as_slice()), ("Basic a", "é".as_bytes()));
    wire.send(&request("Basic\na")).unwrap_err();
}
