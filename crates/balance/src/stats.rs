//! Counters and latency histograms, written by one worker each.

/// Buckets of a [`Histogram`].
pub const HISTOGRAM_BUCKETS: usize = 64;

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusClass {
    /// 1xx: an upgrade.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No response.
    NoResponse,
}

impl StatusClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
        Self::NoResponse,
    ];

    /// The class of a status.
    pub const fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// The value of a metric's label: `1xx` to `5xx`, or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoResponse => "none",
        }
    }
}

/// A log-linear histogram of latencies, as a copy of the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Samples per bucket.
    pub buckets: [u64; HISTOGRAM_BUCKETS],
    /// Sum of all samples in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// The upper bound of a bucket in microseconds, exclusive; `None` for the last one, which has none.
    pub const fn upper_us(_bucket: usize) -> Option<u64> {
        todo!()
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// An estimate of the `q`-quantile (0 to 1) in microseconds, at most 25 % off inside the histogram's range;
    /// `None` without samples.
    pub fn quantile_us(&self, _q: f64) -> Option<u64> {
        todo!()
    }

    /// Adds another one's samples.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
    }
}

/// What an Endpoint's workers counted, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests, indexed by [`StatusClass`] as a number.
    pub requests: [u64; StatusClass::ALL.len()],
    /// Time to the first response byte.
    pub latency: Histogram,
}
