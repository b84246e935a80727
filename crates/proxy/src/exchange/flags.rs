//! How an Exchange ends badly, in Envoy's words.

/// Envoy's response flags, as they stand in the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub(crate) const $name: Flags = Flags(1 << $bit);)*
            const NAMES: &'static [(Flags, &'static str)] = &[$((Flags::$name, stringify!($name))),*];
        }
    };
}

flags! {
    /// No route matched.
    NR = 0;
    /// No healthy upstream.
    UH = 1;
    /// Upstream connection failure.
    UF = 2;
    /// Upstream connection termination.
    UC = 3;
    /// Upstream remote reset.
    UR = 4;
    /// Upstream request timeout.
    UT = 5;
    /// Upstream retry limit exceeded.
    URX = 6;
    /// Upstream protocol error.
    UPE = 7;
    /// Downstream connection termination.
    DC = 8;
    /// Downstream protocol error.
    DPE = 9;
    /// Stream idle timeout: the request or the client's reading stalled.
    SI = 10;
    /// Overload: the proxy refused the request by a limit of its own.
    UO = 11;
    /// No cluster: the rule has no valid backend.
    NC = 12;
}

impl Flags {
    /// Both.
    #[must_use]
    pub(crate) const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub(crate) const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names that are set, in a fixed order.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// A local verdict: the status to answer, why, and a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status that the client sees; 0 when it cannot see one.
    pub(crate) status: u16,
    /// Envoy's flags.
    pub(crate) flags: Flags,
    /// A stable code in snake case: the access log's `response_code_details` and a counter's label.
    pub(crate) reason: &'static str,
}

impl Failure {
    /// A verdict.
    pub(crate) const fn new(status: u16, flags: Flags, reason: &'static str) -> Self {
        Self { status, flags, reason }
    }

    /// The same with another flag.
    #[must_use]
    pub(crate) const fn with(mut self, flags: Flags) -> Self {
        self.flags = self.flags.and(flags);
        self
    }

    /// No route matches.
    pub(crate) const NO_ROUTE: Self = Self::new(404, Flags::NR, "route_not_found");
    /// The rule's backend is invalid, or it has none.
    pub(crate) const INVALID_BACKEND: Self = Self::new(500, Flags::NC, "invalid_backend");
    /// No Endpoint can be picked.
    pub(crate) const NO_ENDPOINT: Self = Self::new(503, Flags::UH, "no_healthy_upstream");
    /// No connection could be made.
    pub(crate) const CONNECT: Self = Self::new(502, Flags::UF, "upstream_connection_failure");
    /// No connection was made in time.
    pub(crate) const CONNECT_TIMEOUT: Self = Self::new(504, Flags::UF, "upstream_connection_timeout");
    /// Every Endpoint has as many connections as it may have.
    pub(crate) const OVERFLOW: Self = Self::new(503, Flags::UO, "upstream_connection_overflow");
    /// A local lack of descriptors, ports or memory.
    pub(crate) const LOCAL: Self = Self::new(503, Flags::UO, "local_resource_limit");
    /// The connection ended before the response.
    pub(crate) const CLOSED: Self = Self::new(502, Flags::UC, "upstream_closed_before_response");
    /// The connection was reset before the response.
    pub(crate) const RESET: Self = Self::new(502, Flags::UC, "upstream_reset_before_response");
    /// The upstream acknowledged nothing any more.
    pub(crate) const SILENT: Self = Self::new(504, Flags::UC, "upstream_silent");
    /// The upstream's answer is not HTTP.
    pub(crate) const PROTOCOL: Self = Self::new(502, Flags::UPE, "upstream_protocol_error");
    /// The response ended early.
    pub(crate) const TRUNCATED: Self = Self::new(502, Flags::UC, "upstream_closed_in_response");
    /// A deadline of the route passed.
    pub(crate) const TIMEOUT: Self = Self::new(504, Flags::UT, "request_timeout");
    /// One attempt took too long.
    pub(crate) const ATTEMPT_TIMEOUT: Self = Self::new(504, Flags::UT, "backend_request_timeout");
    /// The client left.
    pub(crate) const CLIENT_GONE: Self = Self::new(0, Flags::DC, "downstream_closed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_envoys_names() {
        let names: Vec<_> = Failure::CONNECT.with(Flags::URX).flags.names().collect();
        assert_eq!(names, ["UF", "URX"]);
        assert_eq!(Flags::default().names().count(), 0);
    }
}
