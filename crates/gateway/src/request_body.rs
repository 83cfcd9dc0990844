//! The limits of a request's body: how large it may be and how long it may take.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

/// The most bytes of a call's body; Okta's have some 1,500.
pub const MAX_BODY: usize = 64 * 1024;
/// How long a body may take, unless the deadline comes first.
const BODY_TIME: Duration = Duration::from_secs(2);

/// A body of at most [`MAX_BODY`] bytes, if it is there in time.
pub async fn read<B>(body: B, deadline: Instant) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let until = deadline.min(Instant::now() + BODY_TIME);
    let body = std::pin::pin!(body);
    let whole = Limited::new(body, MAX_BODY).collect();
    Some(timeout_at(until, whole).await.ok()?.ok()?.to_bytes())
}
