//! What others send, read by our readers: bodies of vendors' documents, recordings and other people's servers, with their
//! source noted, and variants of them.

mod okta;
//! What comes from outside: bodies and inputs that were not written for this project, read by tables. Each file of data
//! notes its source.

mod providers;
//! Bodies and inputs that come from outside, each with its source: what others really write is put to our readers.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its table must fail")]

mod numbers;
mod okta_calls;
//! What comes from outside: bodies and inputs that were not written for this project, read by tables. Each file of data
//! notes its source.
#![allow(clippy::unwrap_used, clippy::panic)]

mod providers;
