//! How often one who asks may ask.
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use uuid::Uuid;

use super::{Config, rejection::Rejection};
use crate::{access::Viewer, error::Code};

/// Requests after which those who asked long ago are forgotten.
const FORGET_EVERY: usize = 4_096;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RateKey {
    Account(Uuid),
    Address(IpAddr),
}

/// A bucket for each who asks. The user of a server without accounts has all of it.
pub(super) struct RateLimits {
    limiter: Option<DefaultKeyedRateLimiter<RateKey>>,
    /// For tokens that were not valid before.
    tokens: Option<DefaultKeyedRateLimiter<IpAddr>>,
    context: AtomicUsize,
    followers: Arc<Mutex<HashMap<RateKey, u32>>>,
    followers_max: u32,
}

/// A place among those who follow, given back when dropped. The user of a server without accounts needs none.
pub(super) struct SubscriptionSlot {
    key: Option<RateKey>,
    followers: Arc<Mutex<HashMap<RateKey, u32>>>,
}

impl Drop for SubscriptionSlot {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = followers.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                followers.remove(&key);
            }
        }
    }
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
            context: AtomicUsize::new(0),
            followers: Arc::default(),
            followers_max: config.followers_each,
        }
    }

    /// Counts a token that was not valid before, which costs a look into the database or a signature.
    ///
    /// # Errors
    /// 429 where an address tries too many.
    pub(super) fn try_token(&self, client: Option<ClientAddress>) -> Result<(), Rejection> {
        match (&self.tokens, client) {
            (Some(limiter), Some(ClientAddress(address))) => self.count(limiter, &network(address)),
            _ => Ok(()),
        }
    }

    fn count<K: Hash + Eq + Clone>(&self, limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Rejection> {
        if self.context.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|early| {
            let wait = early.wait_time_from(limiter.clock().now()).as_secs_f64().ceil().max(1.0);
            let message = "too many requests: wait as long as Retry-After says, and ask for more at once";
            Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message).after(wait as u64)
        })
    }

    /// Takes a place among those who follow.
    ///
    /// # Errors
    /// 429 where this one has too many already.
    pub(super) fn follow(&self, viewer: Viewer, client: Option<ClientAddress>) -> Result<SubscriptionSlot, Rejection> {
        let (key, followers) = (rate_key(viewer, client), self.followers.clone());
        if let Some(key) = key {
            let mut counts = followers.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(key).or_default();
            if *count >= self.followers_max {
                let message = "too many followed at once: end another, or follow more over one socket";
                return Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, Code::LimitExceeded, message));
            }
            *count += 1;
        }
        Ok(SubscriptionSlot { key, followers })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 where it is one too many, with the seconds after which the next one is not.
    pub(super) fn check(&self, viewer: Viewer, client: Option<ClientAddress>) -> Result<(), Rejection> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        rate_key(viewer, client).map_or(Ok(()), |key| self.count(limiter, &key))
    }
}

/// Who asks, unless it is the user of a server without accounts.
fn rate_key(viewer: Viewer, client: Option<ClientAddress>) -> Option<RateKey> {
    match (viewer.user, viewer.scope, client) {
        (Some(user), ..) => Some(RateKey::Account(user)),
        (None, None, Some(ClientAddress(address))) => Some(RateKey::Address(network(address))),
        _ => None,
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
    use crate::access::TokenScope;

    #[test]
    fn each_who_asks_has_a_bucket_and_the_local_user_needs_none() {
        let rate = RateLimits::new(&Config { rate_per_second: 1, rate_burst: 2, ..Config::default() });
        let client = |text: &str| Some(ClientAddress(text.parse().expect("an address")));
        let account = |n| Viewer::of(Uuid::from_u128(n), TokenScope::Read);
        let asks = [
            (account(1), None),
            (account(2), client("192.0.2.1")),
            (Viewer::ANONYMOUS, client("192.0.2.1")),
            (Viewer::ANONYMOUS, client("2001:db8::1")),
        ];
        for (viewer, client) in asks {
            assert!(rate.check(viewer, client).is_ok());
            assert!(rate.check(viewer, client).is_ok());
            let refused = rate.check(viewer, client).expect_err("one too many");
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        }
        assert!(rate.check(Viewer::ANONYMOUS, client("2001:db8::ffff:2")).is_err(), "the same network");
        assert!(rate.check(Viewer::ANONYMOUS, client("::ffff:192.0.2.1")).is_err(), "the same address");
        assert!((0..100).all(|_| rate.check(Viewer::LOCAL, client("127.0.0.1")).is_ok()));
        for _ in 0..2 {
            assert!(rate.try_token(client("192.0.2.9")).is_ok());
        }
        assert!(rate.try_token(client("192.0.2.9")).is_err(), "no address tries many tokens");
        let one = RateLimits::new(&Config { followers_each: 1, ..Config::default() });
        let first = one.follow(account(1), None).ok();
        assert!(first.is_some() && one.follow(account(1), None).is_err());
        assert!(one.follow(Viewer::ANONYMOUS, client("192.0.2.1")).is_ok());
        drop(first);
        assert!(one.follow(account(1), None).is_ok());
        let all: Vec<_> = (0..9).map(|_| one.follow(Viewer::LOCAL, client("127.0.0.1"))).collect();
        assert!(all.iter().all(Result::is_ok));
        let unlimited = RateLimits::new(&Config { rate_per_second: 0, ..Config::default() });
        assert!((0..10_000).all(|_| unlimited.check(account(1), None).is_ok()));
    }
}
