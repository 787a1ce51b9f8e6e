//! The registry everybody's metrics are in. Written by all, read by nobody inside: nothing branches on a metric.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::fmt;

/// What OpenMetrics text is called on the wire.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An empty registry under whose prefix, `meridian`, each component registers its own.
pub fn registry() -> Registry {
    Registry::with_prefix("meridian")
}

/// All of a registry, as OpenMetrics text.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, registry)?;
    Ok(text)
}
