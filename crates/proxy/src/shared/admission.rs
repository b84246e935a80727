//! How many client connections there are, in all and per bind, and whether there may be one more.
//!
//! Laws:
//! 1. A connection is admitted before anything is done for it, and counted until it is closed, whichever worker holds
//!    it by then.
//! 2. The limits are exact, however many workers accept at the same time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::LimitsConfig;

/// The client connections of one bind, over all workers.
#[derive(Debug, Default)]
pub struct BindConnections(AtomicU32);

/// The client connections of the process.
#[derive(Debug)]
pub struct Admission {
    all: AtomicU32,
    limit: u32,
    limit_per_bind: u32,
    binds: Mutex<BTreeMap<SocketAddr, Arc<BindConnections>>>,
}

impl Admission {
    /// Before the first connection.
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self {
            all: AtomicU32::new(0),
            limit: limits.connections,
            limit_per_bind: limits.connections_per_bind,
            binds: Mutex::default(),
        }
    }

    /// The count of a bind, the same for all who ask. Looked up once per worker and bind, not per connection.
    pub(crate) fn of_bind(&self, address: SocketAddr) -> Arc<BindConnections> {
        let mut binds = self.binds.lock().unwrap_or_else(PoisonError::into_inner);
        // Addresses come and go with Gateways; a count that nobody holds is of a bind that is gone.
        binds.retain(|_, count| Arc::strong_count(count) > 1);
        Arc::clone(binds.entry(address).or_default())
    }

    /// Counts one more connection, if the limits allow it; else gives the code of the limit.
    pub(crate) fn admit(&self, bind: &BindConnections) -> Result<(), &'static str> {
        take(&self.all, self.limit).ok_or("connection_limit")?;
        take(&bind.0, self.limit_per_bind).ok_or("bind_connection_limit").inspect_err(|_| give(&self.all))
    }

    /// Gives back what was admitted.
    pub(crate) fn release(&self, bind: &BindConnections) {
        give(&bind.0);
        give(&self.all);
    }
}

fn take(count: &AtomicU32, limit: u32) -> Option<()> {
    count.fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1)).ok().map(drop)
}

fn give(count: &AtomicU32) {
    count.fetch_sub(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: u32, connections_per_bind: u32) -> Admission {
        Admission::new(&LimitsConfig { connections, connections_per_bind, ..LimitsConfig::default() })
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn each_bind_has_its_limit_and_all_together_have_one() {
        let admission = admission(5, 3);
        let (a, b) = (admission.of_bind(address(1)), admission.of_bind(address(2)));
        for _ in 0..3 {
            assert_eq!(admission.admit(&a), Ok(()));
        }
        assert_eq!(admission.admit(&a), Err("bind_connection_limit"));
        assert_eq!((admission.admit(&b), admission.admit(&b)), (Ok(()), Ok(())), "a refusal takes no place");
        assert_eq!(admission.admit(&b), Err("connection_limit"));
        admission.release(&a);
        assert_eq!(admission.admit(&b), Ok(()));
        assert_eq!(admission.admit(&a), Err("connection_limit"));
    }

    #[test]
    fn a_bind_has_one_count_for_all_until_nobody_holds_it() {
        let admission = admission(10, 1);
        let (one, other) = (admission.of_bind(address(1)), admission.of_bind(address(1)));
        assert_eq!(admission.admit(&one), Ok(()));
        assert_eq!(admission.admit(&other), Err("bind_connection_limit"));
        drop((one, other));
        let again = admission.of_bind(address(1));
        assert_eq!(admission.admit(&again), Ok(()));
        assert_eq!(admission.binds.lock().unwrap().len(), 1);
    }

    #[test]
    fn threads_together_never_pass_the_limits() {
        let admission = admission(3, 2);
        std::thread::scope(|scope| {
            for port in [1, 1, 2, 2] {
                let (admission, bind) = (&admission, admission.of_bind(address(port)));
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if admission.admit(&bind).is_ok() {
                            assert!(bind.0.load(Relaxed) <= 2 && admission.all.load(Relaxed) <= 3);
                            admission.release(&bind);
                        }
                    }
                });
            }
        });
        assert_eq!(admission.all.load(Relaxed), 0);
    }
}
