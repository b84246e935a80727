//! How a proxy is set up: one JSON document, given at start and fixed from then on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::forwarded::{ForwardedConfig, MAX_TRUSTED};

/// Everything that is not in a Snapshot. Unknown fields are refused: a misspelt limit must not be ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// The proxy's name towards the controller.
    pub instance: String,
    /// Empty for the whole installation, else `NAMESPACE/GATEWAY`.
    pub scope: String,
    /// The controller's Unix socket; absent: no controller, the state file alone decides.
    pub stream_socket: Option<PathBuf>,
    /// The last good configuration; absent: none is kept.
    pub state_file: Option<PathBuf>,
    /// Where `/livez`, `/readyz` and `/metrics` are served; port 0 takes a free one.
    pub health_address: SocketAddr,
    /// Where the addresses that were really bound are written as JSON once health answers.
    pub ready_file: Option<PathBuf>,
    /// Worker threads, 1 to 256; absent: the cores that this process may use, at most 2.
    pub workers: Option<usize>,
    /// Whether requests are logged to stdout.
    pub access_log: bool,
    /// Up to how many endpoints there are series per endpoint.
    pub endpoint_metrics_max: usize,
    /// Times after which a peer is given up.
    pub timeouts: TimeoutsConfig,
    /// What one proxy takes on.
    pub limits: LimitsConfig,
    /// How a proxy leaves.
    pub drain: DrainConfig,
    /// What is believed of `X-Forwarded-*` that a peer sends.
    pub forwarded: ForwardedConfig,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            instance: "default".to_owned(),
            scope: String::new(),
            stream_socket: None,
            state_file: None,
            health_address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            ready_file: None,
            workers: None,
            access_log: true,
            endpoint_metrics_max: 1_000,
            timeouts: TimeoutsConfig::default(),
            limits: LimitsConfig::default(),
            drain: DrainConfig::default(),
            forwarded: ForwardedConfig::default(),
        }
    }
}

/// Milliseconds; 0 means no limit.
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// From a connection's first byte (or the end of the exchange before) to a whole request head.
    pub request_head_ms: u64,
    /// How long a kept-alive client connection may be idle.
    pub downstream_idle_ms: u64,
    /// How long a client or an endpoint may stall in the middle of a message.
    pub stream_idle_ms: u64,
    /// The whole request, where no Rule says otherwise.
    pub request_ms: u64,
    /// One attempt, where no Rule says otherwise.
    pub backend_request_ms: u64,
    /// One dial.
    pub connect_ms: u64,
    /// After how long a dial is hedged by another one.
    pub hedge_ms: u64,
    /// How long an idle connection to an endpoint is kept.
    pub upstream_idle_ms: u64,
    /// How long sent bytes may stay unacknowledged by an endpoint's host (`TCP_USER_TIMEOUT`).
    pub upstream_unacked_ms: u64,
    /// How long the rest of a refused request is read before its connection is closed.
    pub linger_ms: u64,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            request_head_ms: 10_000,
            downstream_idle_ms: 60_000,
            stream_idle_ms: 300_000,
            request_ms: 0,
            backend_request_ms: 0,
            connect_ms: 1_000,
            hedge_ms: 200,
            upstream_idle_ms: 4_000,
            upstream_unacked_ms: 2_000,
            linger_ms: 2_000,
        }
    }
}

/// What is above a limit is refused and counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Client connections in all. Lowered at start to about half of the descriptors that the process may hold, so that
    /// those accepted leave enough to dial with.
    pub connections: u32,
    /// Client connections per bind.
    pub connections_per_bind: u32,
    /// Bytes of a request head. It and what came behind it are the most that a client alone can make a connection hold.
    pub request_head_bytes: u32,
    /// Fields of a request head, and as many again of the trailers of its body.
    pub request_fields: u32,
    /// Bytes of a request body; 0 means no limit. Bodies are passed on as they come, whatever their size.
    pub request_body_bytes: u64,
    /// Bytes of a response head. It and a read buffer of 20 KiB with what the client pipelined are the most that slow
    /// peers can make a connection hold: 64 KiB, with the request's texts for the access log and what else it needs.
    pub response_head_bytes: u32,
    /// Bytes of a request body that are kept so that it can be sent again.
    pub replay_bytes: u32,
    /// Idle connections kept per endpoint and worker.
    pub idle_per_endpoint: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_bind: 100_000,
            request_head_bytes: 40 << 10,
            request_fields: 100,
            request_body_bytes: 0,
            response_head_bytes: 36 << 10,
            replay_bytes: 64 << 10,
            idle_per_endpoint: 256,
        }
    }
}

/// Seconds of a graceful stop, from SIGTERM on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long connections are still accepted while readiness fails.
    pub grace_s: u64,
    /// When the process exits whatever is still open; counted from SIGTERM.
    pub deadline_s: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { grace_s: 5, deadline_s: 30 }
    }
}

/// A document that is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It does not parse.
    #[error("configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// A value is out of its range.
    #[error("configuration: {0}")]
    Range(String),
}

const MAX_WORKERS: usize = 256;

impl ProxyConfig {
    /// Reads and checks the document.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        let range =
            |ok: bool, message: &str| if ok { Ok(()) } else { Err(ConfigError::Range(message.to_owned())) };
        range(!config.instance.is_empty(), "instance is empty")?;
        range(
            config.workers.is_none_or(|count| (1..=MAX_WORKERS).contains(&count)),
            "workers is not within 1 to 256",
        )?;
        range(config.drain.grace_s <= config.drain.deadline_s, "drain.grace_s is above drain.deadline_s")?;
        range(config.limits.connections > 0, "limits.connections is 0")?;
        range(config.limits.connections_per_bind > 0, "limits.connections_per_bind is 0")?;
        range(
            config.forwarded.trusted.len() <= MAX_TRUSTED,
            "forwarded.trusted names more than 256 networks",
        )?;
        Ok(config)
    }

    /// How many worker threads to start.
    pub fn worker_count(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from).min(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_the_default() {
        assert_eq!(ProxyConfig::from_json(b"{}").unwrap(), ProxyConfig::default());
    }

    #[test]
    fn a_misspelt_field_is_refused_by_name() {
        let error = ProxyConfig::from_json(br#"{"limits": {"conections": 5}}"#).unwrap_err();
        assert!(error.to_string().contains("conections"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for json in [
            r#"{"workers": 0}"#,
            r#"{"instance": ""}"#,
            r#"{"drain": {"grace_s": 31}}"#,
            r#"{"limits": {"connections": 0}}"#,
        ] {
            assert!(matches!(ProxyConfig::from_json(json.as_bytes()), Err(ConfigError::Range(_))), "{json}");
        }
        let networks = |count: usize| vec!["10.0.0.0/8"; count];
        let trusting = |count| serde_json::json!({"forwarded": {"trusted": networks(count)}}).to_string();
        assert!(ProxyConfig::from_json(trusting(256).as_bytes()).is_ok());
        assert!(matches!(ProxyConfig::from_json(trusting(257).as_bytes()), Err(ConfigError::Range(_))));
    }

    #[test]
    fn a_network_that_is_none_is_refused_by_name() {
        let json = br#"{"forwarded": {"policy": "append", "trusted": ["10.0.0.0/8", "10.0.0.1/8"]}}"#;
        let error = ProxyConfig::from_json(json).unwrap_err().to_string();
        assert!(error.contains("\"10.0.0.1/8\" has bits set behind its prefix"), "{error}");
        let error =
            ProxyConfig::from_json(br#"{"forwarded": {"policy": "believe"}}"#).unwrap_err().to_string();
        assert!(error.contains("believe") && error.contains("overwrite"), "{error}");
    }
}
