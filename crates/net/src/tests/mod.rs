//! The connector against servers on this machine that misbehave in one way each.

mod http2;
mod idle;
mod server;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderName, Method};
use server::{Fixed, Server, Then, certificate, read_request};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use url::Url;

use super::{Client, ClientError, Connector, NetError, NoAnswer, Policy, Request, SendError, Unsent, resolver::Lookup};

const NAME: &str = "provider.test";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn post(port: u16) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(&format!("https://{NAME}:{port}/send")).unwrap(),
        headers: vec![(HeaderName::from_static("x-id"), "m-1".into())],
        body: hookswitch_message::Secret::new(b"code=1234".to_vec()),
    }
}

fn within(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

async fn outcome(connector: &Connector, request: &Request) -> Result<(u16, Vec<u8>), SendError> {
    connector.send(request, within(5_000), 1024).await.map(|answer| (answer.status, answer.body))
}

fn not_sent<T>(cause: Unsent) -> Result<T, SendError> {
    Err(SendError::NotSent { cause })
}

fn unclear<T>(cause: NoAnswer) -> Result<T, SendError> {
    Err(SendError::Unclear { cause })
}

#[tokio::test]
async fn an_answer_comes_back_whole_and_the_next_request_uses_the_same_connection() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let connector = server.connector();
    for _ in 0..3 {
        assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
    }
    assert_eq!((server.connections(), server.requests()), (1, 3));
    let request = server.requests.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST /send HTTP/1.1\r\n") && request.ends_with("\r\n\r\ncode=1234"), "{request}");
    assert!(
        request.to_lowercase().contains("x-id: m-1\r\n") && !request.to_lowercase().contains("cookie"),
        "{request}"
    );
}

#[tokio::test]
async fn a_policy_may_keep_no_connection() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let policy = Policy { keep_no_connection: true, ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap();
    for _ in 0..3 {
        connector.send(&post(server.address.port()), within(5_000), 1024).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests()), (3, 3));
}

#[tokio::test]
async fn an_error_status_and_a_redirect_are_answers_like_any_other() {
    for (status, extra) in [(503, "retry-after: 7\r\n"), (302, "location: https://elsewhere.test/\r\n"), (404, "")] {
        let answer = format!("HTTP/1.1 {status} X\r\n{extra}set-cookie: a=b\r\ncontent-length: 0\r\n\r\n");
        let server = Server::that(Then::Answer(answer)).await;
        let answer = server.connector().send(&post(server.address.port()), within(5_000), 1024).await.unwrap();
        assert_eq!((answer.status, server.requests()), (status, 1));
        assert_eq!(answer.retry_after(), (status == 503).then_some("7"));
    }
}

#[tokio::test]
async fn a_refused_port_is_definitely_not_sent() {
    let server = Server::that(Then::Hang).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(outcome(&server.connector(), &post(free)).await, not_sent(Unsent::Connect));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_definitely_not_sent() {
    let (server, other) = (Server::that(Then::Answer(OK.into())).await, Server::that(Then::Hang).await);
    let trusting_another = Policy { extra_roots_pem: Some(other.ca.clone()), ..server.policy() };
    let connector = Connector::resolving_by(&trusting_another, Fixed::to(&["127.0.0.1"])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, not_sent(Unsent::Tls));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_definitely_not_sent() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let mut request = post(server.address.port());
    request.url.set_host(Some("other.test")).unwrap();
    assert_eq!(outcome(&server.connector(), &request).await, not_sent(Unsent::Tls));
}

#[tokio::test]
async fn a_name_without_address_is_definitely_not_sent() {
    let server = Server::that(Then::Hang).await;
    let connector = Connector::resolving_by(&server.policy(), Fixed::to(&[])).unwrap();
    assert_eq!(outcome(&connector, &post(443)).await, not_sent(Unsent::Dns));
}

#[tokio::test]
async fn the_systems_resolver_knows_that_a_name_does_not_exist() {
    let server = Server::that(Then::Hang).await;
    let mut request = post(443);
    request.url.set_host(Some("does-not-exist.invalid")).unwrap();
    let sent = Connector::new(&server.policy()).unwrap().send(&request, within(5_000), 1024).await;
    assert!(matches!(sent, Err(SendError::NotSent { cause: Unsent::Dns | Unsent::ConnectTimeout })), "{sent:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_past_the_deadline_is_definitely_not_sent() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::that(Then::Hang).await;
    let (connector, begun) = (server.connector(), Instant::now());
    let sent = connector.send(&post(silent.local_addr().unwrap().port()), within(150), 1024).await;
    assert_eq!(sent.map(|answer| answer.status), not_sent(Unsent::ConnectTimeout));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn connecting_has_a_time_limit_of_its_own_within_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::that(Then::Hang).await;
    let (connector, begun) = (server.connector(), Instant::now());
    let sent = connector.send(&post(silent.local_addr().unwrap().port()), within(10_000), 1024).await;
    assert_eq!(sent.map(|answer| answer.status), not_sent(Unsent::ConnectTimeout));
    assert_eq!(begun.elapsed().as_millis() / 100, super::dial::CONNECT_TIMEOUT.as_millis() / 100);
}

#[tokio::test]
async fn a_connection_closed_in_the_handshake_is_definitely_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let server = Server::that(Then::Hang).await;
    assert_eq!(outcome(&server.connector(), &post(port)).await, not_sent(Unsent::Connect));
}

#[tokio::test]
async fn silence_after_the_request_is_unclear_and_ends_at_the_deadline() {
    let server = Server::that(Then::Hang).await;
    let begun = Instant::now();
    let sent = server.connector().send(&post(server.address.port()), within(200), 1024).await;
    assert_eq!(sent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
    let took = begun.elapsed();
    assert!((200..1_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_unclear_and_nothing_is_sent_again() {
    let server = Server::that(Then::Close).await;
    assert_eq!(outcome(&server.connector(), &post(server.address.port())).await, unclear(NoAnswer::Reset));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_answer_that_trickles_past_the_deadline_is_unclear() {
    let server = Server::that(Then::Trickle).await;
    let begun = Instant::now();
    let sent = server.connector().send(&post(server.address.port()), within(200), 100_000).await;
    assert_eq!(sent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_the_cap() {
    let server = Server::that(Then::Flood).await;
    let sent = server.connector().send(&post(server.address.port()), within(30_000), 64 * 1024).await;
    assert_eq!(sent.map(|answer| answer.status), unclear(NoAnswer::TooLarge));
}

#[tokio::test]
async fn an_answer_may_be_exactly_as_long_as_the_cap() {
    let server = Server::that(Then::Answer(OK.into())).await;
    for (cap, expected) in [(2, Ok(200)), (1, unclear(NoAnswer::TooLarge))] {
        let sent = server.connector().send(&post(server.address.port()), within(5_000), cap).await;
        assert_eq!(sent.map(|answer| answer.status), expected, "{cap}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_unclear() {
    let server = Server::that(Then::Answer("SSH-2.0-OpenSSH_9.9\r\n\r\n".into())).await;
    assert_eq!(outcome(&server.connector(), &post(server.address.port())).await, unclear(NoAnswer::Garbage));
}

#[tokio::test]
async fn headers_without_end_are_unclear() {
    let headers = "x-more: y\r\n".repeat(1_000);
    let server = Server::that(Then::Answer(format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))).await;
    assert_eq!(outcome(&server.connector(), &post(server.address.port())).await, unclear(NoAnswer::Garbage));
}

#[tokio::test]
async fn an_idle_connection_that_the_provider_closed_is_replaced() {
    let server = Server::that(Then::AnswerAndClose(OK.into())).await;
    let connector = server.connector();
    for _ in 0..3 {
        assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.connections(), server.requests()), (3, 3));
}

#[tokio::test]
async fn a_dead_address_is_passed_over_for_a_living_one() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let policy =
        Policy { allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["::1", "127.0.0.9", "127.0.0.1"])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
}

#[tokio::test]
async fn a_name_of_a_guarded_address_is_not_called() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let policy = Policy { allowed_cidrs: Vec::new(), ..server.policy() };
    for addresses in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["10.0.0.1", "169.254.169.254", "127.0.0.1"]] {
        let connector = Connector::resolving_by(&policy, Fixed::to(addresses)).unwrap();
        assert_eq!(outcome(&connector, &post(server.address.port())).await, not_sent(Unsent::Guard), "{addresses:?}");
    }
    let mut literal = post(server.address.port());
    literal.url.set_host(Some("127.0.0.1")).unwrap();
    assert_eq!(outcome(&Connector::new(&policy).unwrap(), &literal).await, not_sent(Unsent::Guard));
    literal.url.set_host(Some("localhost")).unwrap();
    assert_eq!(outcome(&Connector::new(&policy).unwrap(), &literal).await, not_sent(Unsent::Guard));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_turns_to_a_guarded_address_is_called_no_more() {
    let allowed = Server::on((Ipv4Addr::new(127, 0, 0, 2), 0), Then::AnswerAndClose(OK.into())).await;
    let port = allowed.address.port();
    let guarded = Server::on((Ipv4Addr::LOCALHOST, port), Then::Answer(OK.into())).await;
    let policy = Policy { allowed_cidrs: vec!["127.0.0.2/32".parse().unwrap()], ..allowed.policy() };
    let rebound = Fixed::one_after_the_other(&[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.1", "127.0.0.2"]]);
    let connector = Connector::resolving_by(&policy, rebound).unwrap();
    assert_eq!(outcome(&connector, &post(port)).await, Ok((200, b"hi".to_vec())));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(outcome(&connector, &post(port)).await, not_sent(Unsent::Guard));
    assert_eq!(outcome(&connector, &post(port)).await, Ok((200, b"hi".to_vec())), "of a mixed answer, what is allowed");
    assert_eq!((allowed.connections(), guarded.connections()), (2, 0));
}

#[tokio::test]
async fn plain_http_is_not_called() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let mut request = post(server.address.port());
    request.url = Url::parse(&format!("http://{NAME}:{}/", server.address.port())).unwrap();
    assert_eq!(outcome(&server.connector(), &request).await, not_sent(Unsent::Guard));
    assert_eq!(server.connections(), 0);
}

/// A proxy that tunnels every `CONNECT` to one address, or refuses it.
async fn proxy(target: Option<SocketAddr>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://ops:pa55@{}", listener.local_addr().unwrap())).unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(request) = read_request(&mut stream).await else { continue };
            heard.lock().unwrap().push(request);
            let Some(target) = target else {
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            };
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let mut onward = TcpStream::connect(target).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut onward).await });
        }
    });
    (url, received)
}

#[tokio::test]
async fn a_proxy_is_exempt_from_the_guard_and_resolves_names_itself() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (url, received) = proxy(Some(server.address)).await;
    let policy = Policy { allowed_cidrs: Vec::new(), proxy: Some(url), ..server.policy() };
    assert!(!format!("{policy:?}").contains("pa55"), "{policy:?}");
    let connector = Connector::resolving_by(&policy, Fixed::to(&[])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
    let connect = received.lock().unwrap()[0].clone();
    assert!(connect.starts_with(&format!("CONNECT {NAME}:{} ", server.address.port())), "{connect}");
    assert!(connect.to_lowercase().contains("proxy-authorization: basic "), "{connect}");
    assert!(!connect.contains("1234"), "{connect}");
    let mut literal = post(server.address.port());
    literal.url.set_host(Some("127.0.0.1")).unwrap();
    assert_eq!(outcome(&connector, &literal).await, not_sent(Unsent::Guard), "addresses in a URL are still checked");
}

#[tokio::test]
async fn a_named_proxy_is_resolved_although_its_address_is_private() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (mut url, _) = proxy(Some(server.address)).await;
    url.set_host(Some("proxy.test")).unwrap();
    let policy = Policy { allowed_cidrs: Vec::new(), proxy: Some(url), ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
}

#[tokio::test]
async fn what_is_excepted_from_the_proxy_is_called_directly_and_under_the_guard() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (url, received) = proxy(None).await;
    let policy = Policy { proxy: Some(url), proxy_exceptions: vec![NAME.parse().unwrap()], ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap();
    let request = post(server.address.port());
    assert_eq!(outcome(&connector, &request).await, Ok((200, b"hi".to_vec())));
    assert_eq!(connector.reach(&request.url, within(5_000)).await, Ok(()), "nothing hides it from a bare connection");
    assert!(received.lock().unwrap().is_empty());
    let guarded = Policy { allowed_cidrs: Vec::new(), ..policy };
    let guarded = Connector::resolving_by(&guarded, Fixed::to(&["127.0.0.1"])).unwrap();
    assert_eq!(outcome(&guarded, &request).await, not_sent(Unsent::Guard));
}

#[tokio::test]
async fn a_proxys_password_arrives_as_it_is_whatever_is_in_it() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (mut url, received) = proxy(Some(server.address)).await;
    url.set_username("svc@corp").unwrap();
    url.set_password(Some("p:a/s s%w@rd?#")).unwrap();
    let policy = Policy { proxy: Some(url), ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&[])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
    let connect = received.lock().unwrap()[0].to_lowercase();
    let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "svc@corp:p:a/s s%w@rd?#");
    assert!(connect.contains(&format!("proxy-authorization: basic {}", expected.to_lowercase())), "{connect}");
}

#[tokio::test]
async fn what_a_proxy_refuses_is_definitely_not_sent() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (url, _) = proxy(None).await;
    let policy = Policy { proxy: Some(url), ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&[])).unwrap();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, not_sent(Unsent::Connect));
}

#[tokio::test]
async fn a_deadline_that_has_passed_sends_nothing() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let connector = server.connector();
    assert_eq!(outcome(&connector, &post(server.address.port())).await, Ok((200, b"hi".to_vec())));
    let sent = connector.send(&post(server.address.port()), Instant::now(), 1024).await;
    assert_eq!(sent.map(|answer| answer.status), not_sent(Unsent::ConnectTimeout));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(server.requests(), 1);
}

fn client(policy: &Policy, addresses: &[&str]) -> Client {
    let lookup: Arc<dyn Lookup> = Fixed::to(addresses);
    Client::resolving_by(policy, &lookup).unwrap()
}

#[tokio::test]
async fn a_client_for_okta_is_guarded_alike_by_name_and_by_every_spelling_of_an_address() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (mut request, port) = (post(server.address.port()), server.address.port());
    let open = client(&server.policy(), &["127.0.0.1"]);
    assert_eq!(open.send(&request).await.unwrap().status(), 200);
    assert_eq!(server.connections(), 1);
    let guarded = Policy { allowed_cidrs: Vec::new(), ..server.policy() };
    for addresses in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["64:ff9b::7f00:1", "169.254.169.254"]] {
        let sent = client(&guarded, addresses).send(&request).await;
        let Err(ClientError::NotSent(why)) = sent else { panic!("{addresses:?}: {sent:?}") };
        assert!(why.contains("allowedCIDRs"), "{why}");
    }
    for host in ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[::1]"]
    {
        request.url = Url::parse(&format!("https://{host}:{port}/")).unwrap();
        let sent = client(&guarded, &["127.0.0.1"]).send(&request).await;
        assert!(matches!(&sent, Err(ClientError::NotSent(why)) if why.contains("allowedCIDRs")), "{host}: {sent:?}");
    }
    request.url = Url::parse(&format!("http://{NAME}:{port}/")).unwrap();
    assert!(matches!(open.send(&request).await, Err(ClientError::NotSent(_))), "plain HTTP");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_client_for_okta_follows_no_redirect() {
    let location = "https://127.0.0.1:1/";
    let answer = format!("HTTP/1.1 302 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let server = Server::that(Then::Answer(answer)).await;
    let answer = client(&server.policy(), &["127.0.0.1"]).send(&post(server.address.port())).await.unwrap();
    assert_eq!((answer.status().as_u16(), server.requests()), (302, 1));
}

#[tokio::test]
async fn what_is_called_directly_is_guarded_although_it_has_the_proxys_name() {
    let server = Server::that(Then::Answer(OK.into())).await;
    let (mut url, received) = proxy(Some(server.address)).await;
    url.set_host(Some(NAME)).unwrap();
    let policy = Policy { allowed_cidrs: Vec::new(), proxy: Some(url), ..server.policy() };
    let request = post(server.address.port());
    assert_eq!(client(&policy, &["127.0.0.1"]).send(&request).await.unwrap().status(), 200, "by the proxy");
    assert_eq!((received.lock().unwrap().len(), server.connections()), (1, 1));
    let mut literal = request.clone();
    literal.url.set_host(Some("127.0.0.1")).unwrap();
    assert!(matches!(client(&policy, &[]).send(&literal).await, Err(ClientError::NotSent(_))));
    let excepted = Policy { proxy_exceptions: vec![NAME.parse().unwrap()], ..policy };
    assert!(matches!(client(&excepted, &["127.0.0.1"]).send(&request).await, Err(ClientError::NotSent(_))));
    let connector = Connector::resolving_by(&excepted, Fixed::to(&["127.0.0.1"])).unwrap();
    assert_eq!(outcome(&connector, &request).await, not_sent(Unsent::Guard));
    assert_eq!((received.lock().unwrap().len(), server.connections()), (1, 1));
}

#[tokio::test]
async fn a_request_without_a_body_is_unclear_once_time_is_up() {
    let server = Server::that(Then::Hang).await;
    let mut request = post(server.address.port());
    (request.method, request.body) = (Method::GET, hookswitch_message::Secret::new(Vec::new()));
    let sent = server.connector().send(&request, within(100), 1024).await;
    assert_eq!(sent.map(|answer| answer.status), unclear(NoAnswer::Timeout));
}

#[test]
fn a_policy_that_cannot_be_followed_is_refused() {
    let policy = |roots: &str, proxy: Option<&str>| Policy {
        extra_roots_pem: Some(roots.into()),
        proxy: proxy.map(|proxy| Url::parse(proxy).unwrap()),
        proxy_exceptions: Vec::new(),
        ..Policy::default()
    };
    let (_, ca) = certificate();
    assert!(matches!(Connector::new(&policy("", None)), Err(NetError::CaBundle)));
    assert!(matches!(
        Connector::new(&policy("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None)),
        Err(NetError::CaBundle)
    ));
    assert!(matches!(Connector::new(&policy(&ca, Some("socks5://proxy.test"))), Err(NetError::Proxy)));
    assert!(matches!(Client::new(&policy(&ca, Some("socks5://proxy.test"))), Err(NetError::Proxy)));
    assert!(matches!(Client::new(&policy("", None)), Err(NetError::CaBundle)));
    assert!(Connector::new(&policy(&ca, Some("https://proxy.test:3128"))).is_ok());
}

#[test]
fn no_debug_output_shows_a_body_a_header_or_a_path() {
    let shown = format!("{:?}", post(443));
    assert!(
        shown.contains(NAME) && !shown.contains("1234") && !shown.contains("m-1") && !shown.contains("send"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bare_connection_shows_name_port_and_certificate_and_sends_nothing() {
    let server = Server::that(Then::Hang).await;
    let (connector, port) = (server.connector(), server.address.port());
    let at = |host: &str, port: u16| Url::parse(&format!("https://{host}:{port}/send?a=b")).unwrap();
    assert_eq!(connector.reach(&at(NAME, port), within(5_000)).await, Ok(()));
    assert_eq!((server.connections(), server.requests()), (1, 0));
    assert_eq!(
        connector.reach(&at("other.test", port), within(5_000)).await,
        not_sent(Unsent::Tls),
        "another's certificate"
    );
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(connector.reach(&at(NAME, free), within(5_000)).await, not_sent(Unsent::Connect));
    assert_eq!(connector.reach(&at(NAME, port), within(0)).await, not_sent(Unsent::ConnectTimeout));
    let nowhere = Connector::resolving_by(&server.policy(), Fixed::to(&[])).unwrap();
    assert_eq!(nowhere.reach(&at(NAME, port), within(5_000)).await, not_sent(Unsent::Dns));
    assert_eq!(
        connector.reach(&Url::parse("http://provider.test/").unwrap(), within(5_000)).await,
        not_sent(Unsent::Guard)
    );
}

#[tokio::test]
async fn a_bare_connection_is_guarded_like_any_other_and_tries_every_address() {
    let server = Server::that(Then::Hang).await;
    let url = Url::parse(&format!("https://{NAME}:{}/", server.address.port())).unwrap();
    let closed = Policy { allowed_cidrs: Vec::new(), ..server.policy() };
    let guarded = Connector::resolving_by(&closed, Fixed::to(&["127.0.0.1"])).unwrap();
    assert_eq!(guarded.reach(&url, within(5_000)).await, not_sent(Unsent::Guard));
    let literal = Url::parse(&format!("https://127.0.0.1:{}/", server.address.port())).unwrap();
    assert_eq!(guarded.reach(&literal, within(5_000)).await, not_sent(Unsent::Guard));
    assert_eq!(server.connections(), 0);
    assert_eq!(server.connector().reach(&literal, within(5_000)).await, Ok(()));
    let local = Policy { allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()], ..server.policy() };
    let second = Connector::resolving_by(&local, Fixed::to(&["127.0.0.9", "127.0.0.1"])).unwrap();
    assert_eq!(second.reach(&url, within(5_000)).await, Ok(()), "nobody listens at the first");
}

#[tokio::test]
async fn behind_a_proxy_a_bare_connection_says_nothing() {
    let server = Server::that(Then::Hang).await;
    let policy = Policy { proxy: Some(Url::parse("http://127.0.0.1:9").unwrap()), ..server.policy() };
    let connector = Connector::resolving_by(&policy, Fixed::to(&["127.0.0.1"])).unwrap();
    let url = Url::parse(&format!("https://{NAME}:{}/", server.address.port())).unwrap();
    assert_eq!(connector.reach(&url, within(5_000)).await, not_sent(Unsent::Proxy));
    assert_eq!(server.connections(), 0);
}
