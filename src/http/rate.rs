//! How often one who asks may ask.
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use uuid::Uuid;

use super::{Config, refusal::Refusal};
use crate::{access::Viewer, error::Code};

/// Requests after which those who asked long ago are forgotten.
const FORGET_EVERY: usize = 4_096;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Account(Uuid),
    Address(IpAddr),
}

/// A bucket for each who asks. The user of a server without accounts has all of it.
pub(super) struct Rate {
    limiter: Option<DefaultKeyedRateLimiter<Who>>,
    asked: AtomicUsize,
}

impl Rate {
    pub(super) fn new(config: &Config) -> Self {
        let quota = NonZeroU32::new(config.rate_per_second).map(|per_second| {
            let burst = NonZeroU32::new(config.rate_burst).unwrap_or(per_second);
            Quota::per_second(per_second).allow_burst(burst)
        });
        Self { limiter: quota.map(RateLimiter::keyed), asked: AtomicUsize::new(0) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 where it is one too many, with the seconds after which the next one is not.
    pub(super) fn check(&self, viewer: Viewer, peer: Option<Peer>) -> Result<(), Refusal> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let who = match (viewer.user, viewer.scope, peer) {
            (Some(user), ..) => Who::Account(user),
            (None, None, Some(Peer(address))) => Who::Address(network(address)),
            _ => return Ok(()),
        };
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            limiter.retain_recent();
        }
        limiter.check_key(&who).map_err(|early| {
            let wait = early.wait_time_from(limiter.clock().now()).as_secs_f64().ceil().max(1.0);
            let message = "too many requests: wait as long as Retry-After says, and ask for more at once";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message).after(wait as u64)
        })
    }
}

/// What one client has of addresses: of IPv6 a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn each_who_asks_has_a_bucket_and_the_local_user_needs_none() {
        let rate = Rate::new(&Config { rate_per_second: 1, rate_burst: 2, ..Config::default() });
        let peer = |text: &str| Some(Peer(text.parse().expect("an address")));
        let account = |n| Viewer::of(Uuid::from_u128(n), Scope::Read);
        let asks = [
            (account(1), None),
            (account(2), peer("192.0.2.1")),
            (Viewer::ANONYMOUS, peer("192.0.2.1")),
            (Viewer::ANONYMOUS, peer("2001:db8::1")),
        ];
        for (viewer, peer) in asks {
            assert!(rate.check(viewer, peer).is_ok());
            assert!(rate.check(viewer, peer).is_ok());
            let refused = rate.check(viewer, peer).expect_err("one too many");
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        }
        assert!(rate.check(Viewer::ANONYMOUS, peer("2001:db8::ffff:2")).is_err(), "the same network");
        assert!(rate.check(Viewer::ANONYMOUS, peer("::ffff:192.0.2.1")).is_err(), "the same address");
        assert!((0..100).all(|_| rate.check(Viewer::LOCAL, peer("127.0.0.1")).is_ok()));
        let unlimited = Rate::new(&Config { rate_per_second: 0, ..Config::default() });
        assert!((0..10_000).all(|_| unlimited.check(account(1), None).is_ok()));
    }
}
