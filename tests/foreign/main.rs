//! What others send, read by our readers: bodies of vendors' documents, recordings and other people's servers, with their
//! source noted, and variants of them.

mod okta;
