//! How many descriptors the process may hold, and how many of them clients may take.
//!
//! Law: each client may need a connection to an endpoint. So clients together hold at most half of the descriptors,
//! after what the process needs for itself: accepting one more never takes the descriptor that a dial would need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::LimitsConfig;
use crate::diagnostics::{Level, say};

/// For listening sockets, polls, files and health; at most a quarter of all.
const OWN: u64 = 64;

/// Raises the process's limit as far as it may, and lowers `limits.connections` to what it leaves room for.
pub(crate) fn fit(limits: &mut LimitsConfig) {
    let Some(descriptors) = raised() else { return };
    let share = client_share(descriptors);
    let wanted = limits.connections;
    limits.connections = wanted.min(share);
    say(
        Level::Info,
        "descriptors",
        &[("limit", &descriptors), ("connections", &limits.connections), ("connections_wanted", &wanted)],
    );
}

/// How many clients `descriptors` leave room for: at least one.
pub fn client_share(descriptors: u64) -> u32 {
    let share = (descriptors - OWN.min(descriptors / 4)) / 2;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

/// The limit of the process, after an attempt to raise it to the hard one; none where there is no limit.
fn raised() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let all = Rlimit { current: now.maximum, maximum: now.maximum };
        // Where that is not allowed, the one that there is stays.
        let _ = setrlimit(Resource::Nofile, all);
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_half_of_the_descriptors_to_others() {
        assert_eq!(client_share(1_024), 480);
        assert_eq!(client_share(1 << 20), (1 << 19) - 32);
        assert_eq!(client_share(40), 15);
        assert_eq!((client_share(0), client_share(u64::MAX)), (1, u32::MAX));
    }

    #[test]
    fn the_limit_is_lowered_and_never_raised() {
        for wanted in [5, u32::MAX] {
            let mut limits = LimitsConfig { connections: wanted, ..LimitsConfig::default() };
            fit(&mut limits);
            let room = getrlimit(Resource::Nofile).current.map_or(u32::MAX, client_share);
            assert_eq!(limits.connections, wanted.min(room));
        }
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum, "raised as far as it goes");
    }
}
