//! Accepting Okta's connections: TLS, HTTP/1.1, and bounds on everything a stranger may use up.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    clocked::{Beginning, Clocked},
    figures::Figures,
    service::Service,
};

/// Connections open at once. One more is accepted and closed, so that the caller knows at once and is counted.
pub const CONNECTIONS: usize = 1_024;
/// Time for TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Time for TLS and a first request's head together. Okta gives up after 3 s, so who has said nothing by then is not Okta.
const FIRST: Duration = Duration::from_secs(4);
/// Time for the head of a later request, and so between two requests on one connection.
const HEAD: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 64;
/// How long accepting rests after an error: it is most often a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves at most `connections` at once until `stop`, then lets the requests under way finish and closes idle connections.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    service: Arc<Service>,
    figures: Arc<Figures>,
    connections: usize,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(connections));
    let open = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let beginning = Beginning::at(Instant::now());
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            figures.closed("limit");
            continue;
        };
        let (acceptor, service, figures, stop) =
            (acceptor.clone(), Arc::clone(&service), Arc::clone(&figures), stop.clone());
        open.spawn(async move { converse(stream, &acceptor, beginning, service, &figures, stop, slot).await });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn converse(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    beginning: Beginning,
    service: Arc<Service>,
    figures: &Figures,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let first = sleep(FIRST);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        figures.closed("handshake");
        return;
    };
    let clock = beginning.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asked);
    let answer = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        let (service, clock) = (Arc::clone(&service), clock.clone());
        async move {
            let response = service.answer(request, clock.get()).await;
            clock.finish();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .half_close(false)
        .serve_connection(TokioIo::new(Clocked::new(stream, beginning)), answer);
    let mut connection = std::pin::pin!(connection);
    let mut first = std::pin::pin!(first);
    let silent = async {
        first.as_mut().await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent => {
            figures.closed("silent");
            return;
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if ended.is_err() {
        figures.closed("protocol");
    }
}
