//! An HTTP request as a value: who makes it of a message knows no network, and who sends it knows no provider.

use std::fmt;

use http::{HeaderName, Method};
use url::Url;

use hookswitch_message::Secret;

/// A request. `Debug` shows the method and the host alone, because the rest carries credentials, numbers and passcodes.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Where it goes; `https` only.
    pub url: Url,
    /// Headers. A value that cannot stand in a header fails the request before it is sent.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Body; empty for none.
    pub body: Secret<Vec<u8>>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}
