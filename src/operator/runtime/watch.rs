//! Watches: how everything is watched, and what follows a failure.

use std::{fmt::Debug, future::ready, time::Duration};

use futures::{
    Stream, StreamExt as _,
    stream::{self},
};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    backoff::{after, jittered},
    listing::WatchScope,
};

/// Objects per page of a list.
const PAGE: u32 = 100;

/// Seconds after which the server is asked to end a watch, which is then begun again where it ended. Watches that began together
/// do not all end together. Where nobody notices that a connection died, whoever sends the request asks for less
/// ([`cluster`](super::cluster)). The client takes no more than 294.
const LASTS: std::ops::RangeInclusive<u32> = 240..=290;

/// The longest wait before a watch that failed is tried again.
const SLOWEST: Duration = Duration::from_secs(30);

/// Time without a failure after which a watch is well.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// How everything is watched.
#[must_use]
pub fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE).timeout(rand::random_range(LASTS))
}

/// Watches one object by its name: what it is now, or nothing when there is none.
pub fn object<K>(api: Api<K>, name: &str) -> impl Stream<Item = Result<Option<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let only = format!("metadata.name={name}");
    let events = forever(move || watcher(api.clone(), config().fields(&only)));
    let observed = events.scan(false, |is_listed, event| {
        let observed = match event {
            Ok(Event::Init) => {
                *is_listed = false;
                None
            }
            Ok(Event::InitApply(object)) => {
                *is_listed = true;
                Some(Ok(Some(object)))
            }
            Ok(Event::InitDone) => (!*is_listed).then_some(Ok(None)),
            Ok(Event::Apply(object)) => Some(Ok(Some(object))),
            Ok(Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        ready(Some(observed))
    });
    observed.filter_map(ready)
}

/// One `Api` per namespace looked after, or one for all.
#[must_use]
pub fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<(WatchScope, Api<K>)>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let api = |scope: WatchScope| match &scope {
        WatchScope::All => (scope, Api::all(client.clone())),
        WatchScope::Namespace(name) => {
            let api = Api::namespaced(client.clone(), name);
            (scope, api)
        }
    };
    WatchScope::of(namespaces).into_iter().map(api).collect()
}

/// Watches for ever what a watcher made by `begin` watches: after a failure again, later each time.
///
/// One that the API server refuses begins anew, with a list. What went meanwhile is noticed then, and that the place can be seen
/// again is reported by [`Event::InitDone`]; a watch that goes on where it ended would say nothing until something changes.
pub fn forever<T, S>(
    begin: impl Fn() -> S + Send + 'static,
) -> impl Stream<Item = Result<Event<T>, watcher::Error>> + Send
where
    T: Send + 'static,
    S: Stream<Item = Result<Event<T>, watcher::Error>> + Send + 'static,
{
    let first = begin().boxed();
    stream::unfold((begin, first, Failures::default()), |(begin, mut events, mut failures)| async move {
        if let Some(wait) = failures.wait.take() {
            tokio::time::sleep(wait).await;
        }
        let event = events.next().await?;
        match &event {
            // a list begins: whether it may is not said yet
            Ok(Event::Init) => {}
            Ok(_) => failures = Failures::default(),
            Err(error) => {
                failures.failed();
                if is_refused(error) {
                    events = begin().boxed();
                }
            }
        }
        Some((event, (begin, events, failures)))
    })
}

/// Failures of a watch in a row.
#[derive(Default)]
struct Failures {
    count: u32,
    last: Option<Instant>,
    wait: Option<Duration>,
}

impl Failures {
    fn failed(&mut self) {
        // a watch that nothing happens on says nothing: that it went well for a while is all that shows it
        if self.last.is_some_and(|last| last.elapsed() > FORGOTTEN) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(Instant::now());
        self.wait = Some(jittered(after(self.count).min(SLOWEST), rand::random()));
    }
}

/// Whether the API server understood and does not let us, or has nothing of the kind.
#[must_use]
pub fn is_refused(error: &watcher::Error) -> bool {
    matches!(code(error), Some(401 | 403 | 404))
}

/// The status that the API server answered.
#[must_use]
pub fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// A watch's error without what came over the wire.
#[must_use]
pub fn shown(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => super::error::shown(error),
        watcher::Error::WatchError(status) => format!("{} {}", status.code, status.reason),
        watcher::Error::NoResourceVersion => "the list has no resource version".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc, Mutex, PoisonError,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;
    use k8s_openapi::api::core::v1::Secret;
    use kube::{ResourceExt as _, client::Body};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::operator::{
        controllers::context::{Context, Parts},
        run,
        runtime::{cluster::shorten, listing::Listing},
        testing::world::{self, Org, Server},
    };

    type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

    /// A server whose watches begin and then say nothing for ever, as over a connection that died.
    fn silent() -> (Client, Asked) {
        let asked = Asked::default();
        let observed = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = request.uri().to_string();
            let is_watch = asked.contains("watch=true");
            observed.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), asked));
            async move {
                let list = r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[]}"#;
                let first: Option<Result<Frame<Bytes>, Infallible>> = (!is_watch).then(|| Ok(Frame::data(list.into())));
                let rest = if is_watch {
                    futures::stream::pending().left_stream()
                } else {
                    futures::stream::empty().right_stream()
                };
                let body = StreamBody::new(futures::stream::iter(first).chain(rest)).boxed_unsync();
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        (Client::new(service, "otp"), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_its_server_does_not_end_is_begun_again_within_five_minutes() {
        let (client, asked) = silent();
        let begun = Instant::now();
        let mut all = watcher(Api::<Secret>::all(client.clone()), config()).boxed();
        let mut one = object(Api::<Secret>::namespaced(client, "otp"), "okta").boxed();
        let follow = async {
            tokio::join!(async { while all.next().await.is_some() {} }, async { while one.next().await.is_some() {} })
        };
        assert!(tokio::time::timeout(Duration::from_mins(5), follow).await.is_err());
        let asked = asked.lock().unwrap().clone();
        for at in ["/api/v1/secrets?", "/api/v1/namespaces/otp/secrets?"] {
            let watches: Vec<_> =
                asked.iter().filter(|(_, url)| url.starts_with(at) && url.contains("watch=true")).collect();
            assert_eq!(watches.len(), 2, "{asked:?}");
            let (again, url) = watches[1];
            assert!(*again - begun >= Duration::from_mins(4), "not while it may be well");
            let lasts = url.split(['?', '&']).find_map(|part| part.strip_prefix("timeoutSeconds=")).unwrap();
            assert!(LASTS.contains(&lasts.parse().unwrap()), "{url}");
        }
    }

    /// A server that has nothing and ends watches when it is asked to, and how often it was asked for one, and for anything else.
    fn idle(http2: bool) -> (Client, Arc<[AtomicUsize; 2]>) {
        let counts = Arc::<[AtomicUsize; 2]>::default();
        let counting = Arc::clone(&counts);
        let service = tower::service_fn(move |request: Request<Body>| {
            let mut uri = request.uri().clone();
            let is_watch = uri.query().unwrap_or_default().contains("watch=true");
            counting[usize::from(!is_watch)].fetch_add(1, Ordering::Relaxed);
            if is_watch && !http2 {
                shorten(&mut uri);
            }
            let seconds = uri.query().unwrap_or_default().split('&').find_map(|part| {
                let seconds = part.strip_prefix("timeoutSeconds=")?;
                Some(Duration::from_secs(seconds.parse().unwrap()))
            });
            async move {
                let list = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[]}"#;
                let first: Option<Result<Frame<Bytes>, Infallible>> = (!is_watch).then(|| Ok(Frame::data(list.into())));
                let lasts = seconds.filter(|_| is_watch).unwrap_or_default();
                let rest = futures::stream::once(tokio::time::sleep(lasts)).filter_map(|()| ready(None));
                let body = StreamBody::new(futures::stream::iter(first).chain(rest)).boxed_unsync();
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        (Client::new(service, "otp"), counts)
    }

    /// Watches and other requests a minute of an operator that manages so many namespaces in which nothing happens.
    async fn requests_a_minute(namespaces: usize, http2: bool) -> [f64; 2] {
        let names: Vec<String> = (0..namespaces).map(|number| format!("tenant-{number}")).collect();
        let (client, counts) = idle(http2);
        let (caches, writers) = run::caches();
        let options = world::options(&names.join(","));
        let parts = world::parts(&Server::default(), Arc::new(Org::default()), options, caches);
        let ctx = Context::new(Parts { client, listing: Listing::new(&names), ..parts });
        let (mut watching, mut controllers) = (JoinSet::new(), JoinSet::new());
        run::start_all(&Arc::new(ctx), writers, &mut watching, &mut controllers, &CancellationToken::new());
        // what the start costs left out
        tokio::time::sleep(Duration::from_mins(10)).await;
        let read = || [0, 1].map(|which: usize| counts[which].load(Ordering::Relaxed));
        let before = read();
        tokio::time::sleep(Duration::from_mins(100)).await;
        let after = read();
        [0, 1].map(|which: usize| f64::from(u32::try_from(after[which] - before[which]).unwrap()) / 100.0)
    }

    #[tokio::test(start_paused = true)]
    async fn watches_cost_the_api_server_a_fifth_over_http_2() {
        for namespaces in [0, 1, 10] {
            for (http2, most) in [(true, 4.0), (false, 20.0)] {
                let [watches, others] = requests_a_minute(namespaces, http2).await;
                let per_namespace = watches / f64::from(u32::try_from(namespaces.max(1)).unwrap());
                println!("watches: {namespaces} namespaces, HTTP/2 {http2}: {watches:.1} a minute, others {others:.1}");
                assert!(per_namespace > most * 0.8 && per_namespace < most && others < 1.0, "{per_namespace} {others}");
            }
        }
    }

    fn refused(code: u16) -> watcher::Error {
        let status = || kube::core::Status::failure("no", "No").with_code(code).boxed();
        match code % 3 {
            0 => watcher::Error::InitialListFailed(kube::Error::Api(status())),
            1 => watcher::Error::WatchStartFailed(kube::Error::Api(status())),
            _ => watcher::Error::WatchError(status()),
        }
    }

    #[test]
    fn a_watch_that_is_refused_begins_with_a_list_and_one_that_broke_off_goes_on() {
        for code in [401, 403, 404] {
            assert!(is_refused(&refused(code)), "{code}");
        }
        for code in [400, 409, 410, 429, 500, 503] {
            assert!(!is_refused(&refused(code)), "{code}");
        }
        let broken = [
            watcher::Error::WatchFailed(kube::Error::Service("reset".into())),
            watcher::Error::InitialListFailed(kube::Error::Service("refused".into())),
            watcher::Error::NoResourceVersion,
        ];
        assert!(broken.iter().all(|error| !is_refused(error) && code(error).is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_is_tried_again_later_each_time_until_it_worked_for_two_minutes() {
        let mut failures = Failures::default();
        let mut wait = |quiet: Duration| {
            failures.failed();
            let wait = failures.wait.take().unwrap();
            async move {
                tokio::time::advance(quiet).await;
                wait.as_secs_f64()
            }
        };
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = wait(FORGOTTEN).await;
            assert!((0.8 * expected..=1.2 * expected).contains(&wait), "{wait} for {expected}");
        }
        let more = wait(FORGOTTEN + Duration::from_millis(1)).await;
        assert!(more >= 24.0, "two minutes exactly are not more than that: {more}");
        assert!(wait(Duration::ZERO).await <= 1.2);
    }

    #[tokio::test]
    async fn one_object_is_reported_as_it_is_as_gone_and_after_an_error() {
        let server = Server::default();
        server.notify_watches();
        let path = "/api/v1/namespaces/otp/secrets/okta";
        let secret = |value: &str| {
            serde_json::json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "okta", "namespace": "otp", "annotations": {"value": value}}})
        };
        let mut observed = object(Api::<Secret>::namespaced(server.client(), "otp"), "okta").boxed();
        let mut next = async || {
            let observed = observed.next().await.unwrap();
            observed
                .map(|found| found.map(|secret| secret.annotations()["value"].clone()))
                .map_err(|error| code(&error))
        };
        assert_eq!(next().await, Ok(None), "there is none");
        server.put(path, secret("one"));
        assert_eq!(next().await, Ok(Some("one".into())));
        server.put(path, secret("two"));
        assert_eq!(next().await, Ok(Some("two".into())));
        server.delete(path);
        assert_eq!(next().await, Ok(None));
    }
}
