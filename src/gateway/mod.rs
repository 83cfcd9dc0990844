//! The gateway: authenticates and answers Okta's calls, and sends messages through carriers.
