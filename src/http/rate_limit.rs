//! Rate limits per account or client address.
use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use uuid::Uuid;

use super::{Config, rejection::Rejection};
use crate::{access::Viewer, error::Code};

/// Number of requests after which buckets that are full again are removed.
const CLEANUP_INTERVAL: usize = 4_096;

/// The IP address of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// The key that a client's limits apply to: its account, or its address without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RateKey {
    Account(Uuid),
    Address(IpAddr),
}

impl RateKey {
    /// Returns the key of a client, `None` for the viewer of a server without accounts.
    pub(super) fn new(viewer: Viewer, client: Option<ClientAddress>) -> Option<Self> {
        match (viewer.user, viewer.scope, client) {
            (Some(user), ..) => Some(Self::Account(user)),
            (None, None, Some(ClientAddress(address))) => Some(Self::Address(network(address))),
            _ => None,
        }
    }
}

/// Rate limiters. The viewer of a server without accounts is not limited.
pub(super) struct RateLimits {
    limiter: Option<DefaultKeyedRateLimiter<RateKey>>,
    /// Limits attempts with unknown tokens.
    tokens: Option<DefaultKeyedRateLimiter<IpAddr>>,
    requests: AtomicUsize,
}

impl RateLimits {
    pub(super) fn new(config: &Config) -> Self {
        let quota = NonZeroU32::new(config.rate_per_second).map(|per_second| {
            let burst = NonZeroU32::new(config.rate_burst).unwrap_or(per_second);
            Quota::per_second(per_second).allow_burst(burst)
        });
        Self {
            limiter: quota.map(RateLimiter::keyed),
            tokens: quota.map(RateLimiter::keyed),
            requests: AtomicUsize::new(0),
        }
    }

    /// Counts an attempt with a token that is not known to be valid; checking it costs a database lookup or a signature
    /// verification.
    ///
    /// # Errors
    /// 429 if the address has tried too many.
    pub(super) fn try_token(&self, client: Option<ClientAddress>) -> Result<(), Rejection> {
        match (&self.tokens, client) {
            (Some(limiter), Some(ClientAddress(address))) => self.count(limiter, &network(address)),
            _ => Ok(()),
        }
    }

    fn count<K: Hash + Eq + Clone>(&self, limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Rejection> {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(CLEANUP_INTERVAL) {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|early| {
            let wait = early.wait_time_from(limiter.clock().now()).as_secs_f64().ceil().max(1.0);
            let message = "too many requests: retry after the time in Retry-After, and combine requests";
            Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message).with_retry_after(wait as u64)
        })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 with `Retry-After` if the rate is exceeded.
    pub(super) fn check(&self, viewer: Viewer, client: Option<ClientAddress>) -> Result<(), Rejection> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        RateKey::new(viewer, client).map_or(Ok(()), |key| self.count(limiter, &key))
    }
}

/// Returns the part of an address that identifies a client: the /64 network of IPv6, the whole address of IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::TokenScope;

    #[test]
    fn each_client_has_its_own_limit_and_the_local_user_has_none() {
        let rate = RateLimits::new(&Config { rate_per_second: 1, rate_burst: 2, ..Config::default() });
        let client = |text: &str| Some(ClientAddress(text.parse().expect("an address")));
        let account = |n| Viewer::of(Uuid::from_u128(n), TokenScope::Read);
        let clients = [
            (account(1), None),
            (account(2), client("192.0.2.1")),
            (Viewer::ANONYMOUS, client("192.0.2.1")),
            (Viewer::ANONYMOUS, client("2001:db8::1")),
        ];
        for (viewer, client) in clients {
            assert!(rate.check(viewer, client).is_ok());
            assert!(rate.check(viewer, client).is_ok());
            let rejected = rate.check(viewer, client).expect_err("one too many");
            assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
        }
        assert!(rate.check(Viewer::ANONYMOUS, client("2001:db8::ffff:2")).is_err(), "the same network");
        assert!(rate.check(Viewer::ANONYMOUS, client("::ffff:192.0.2.1")).is_err(), "the same address");
        assert!((0..100).all(|_| rate.check(Viewer::LOCAL, client("127.0.0.1")).is_ok()));
        for _ in 0..2 {
            assert!(rate.try_token(client("192.0.2.9")).is_ok());
        }
        assert!(rate.try_token(client("192.0.2.9")).is_err(), "an address may not try many tokens");
        let unlimited = RateLimits::new(&Config { rate_per_second: 0, ..Config::default() });
        assert!((0..10_000).all(|_| unlimited.check(account(1), None).is_ok()));
    }
}
