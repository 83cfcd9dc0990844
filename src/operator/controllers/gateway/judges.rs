//! What judges the parts of a configuration.

use crate::operator::resolve::provider;
use hookswitch_gateway_config::check::Judges;
use hookswitch_net as net;

/// What judges the parts of a configuration that `config` does not know itself.
pub(super) const JUDGES: Judges = Judges {
    provider: provider::judge,
    report: |report| {
        net::server_identity(&report.certificate, report.key.expose()).map(drop).map_err(|error| error.to_string())
    },
};
