//! The number of executions that may run at once, derived from their latencies.
//!
//! The limit follows Little's law: the executions of a window would have taken the sum of their best latencies if none had
//! queued for the database or the processors, so on average `sum / window` of them had to run at once for this throughput.
//! The limit is [`HEADROOM`] times that. If more executions at once increase the throughput, the sum grows and so does the
//! limit; once they only wait for each other, the throughput stops growing, and the limit with it. TCP Vegas, BBR and
//! Netflix's Gradient2 derive their windows in the same way. The best latency is known for each operation, because those of
//! different operations differ by orders of magnitude.
use std::time::Duration;

use quick_cache::unsync::Cache;
use tokio::time::Instant;

/// Factor of the limit over the executions that the throughput needs. With 2, an execution takes twice as long as alone.
const HEADROOM: f64 = 2.0;

/// Minimum duration of a window.
const WINDOW: Duration = Duration::from_millis(100);

/// Minimum number of executions in a window.
const WINDOW_EXECUTIONS: u32 = 8;

/// Interval at which the limit is lowered to half of its minimum for one window while requests wait. Otherwise every latency
/// of a long overload would include waiting, and a change of the best latency would not be noticed.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Number of operations whose best latency is known.
const OPERATIONS: usize = 1_024;

/// Minimum and maximum of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitBounds {
    /// The minimum, at which the database is busy.
    pub min: u32,
    /// The maximum: more executions would only wait for a connection.
    pub max: u32,
}

/// The limit, and the executions since it was reached.
pub(super) struct ConcurrencyLimit {
    bounds: LimitBounds,
    limit: f64,
    /// The lowest recent latency of each operation, in seconds.
    best: Cache<u64, f64>,
    /// `None` while no request has to wait.
    window: Option<Window>,
    /// The end of the last window.
    window_ended: Instant,
    next_probe: Instant,
}

/// A period during which requests wait.
struct Window {
    start: Instant,
    executions: u32,
    /// Sum of the best latencies of the executions, in seconds.
    best: f64,
    /// The longest latency, in seconds. A window is not shorter: otherwise a long execution would count for a short time.
    longest: f64,
    /// Executions after which no request waited.
    unreached: u32,
    /// Whether the limit is lowered.
    is_probe: bool,
}

impl Window {
    fn new(start: Instant, is_probe: bool) -> Self {
        Self { start, executions: 0, best: 0.0, longest: 0.0, unreached: 0, is_probe }
    }
}

impl ConcurrencyLimit {
    pub(super) fn new(bounds: LimitBounds, now: Instant) -> Self {
        Self {
            bounds,
            limit: f64::from(bounds.min),
            best: Cache::new(OPERATIONS),
            window: None,
            window_ended: now,
            next_probe: now,
        }
    }

    /// The maximum number of executions at this time.
    pub(super) fn get(&self) -> u32 {
        match &self.window {
            Some(window) if window.is_probe => (self.bounds.min / 2).max(1),
            _ => self.usual(),
        }
    }

    /// The maximum number of executions outside of probes.
    pub(super) fn usual(&self) -> u32 {
        // It is between the bounds, which are u32.
        self.limit.round() as u32
    }

    /// The best latency of an operation, in seconds; `None` before its first execution.
    pub(super) fn best(&self, operation: u64) -> Option<f64> {
        self.best.peek(&operation).copied()
    }

    /// Records that a request has to wait.
    pub(super) fn reached(&mut self, now: Instant) {
        self.window.get_or_insert_with(|| Window::new(now, false));
    }

    /// Records an execution of `operation` that began at `start`. `is_reached` is whether requests still wait.
    pub(super) fn executed(&mut self, operation: u64, start: Instant, now: Instant, is_reached: bool) {
        let latency = now.duration_since(start).as_secs_f64();
        let is_unaffected = match &self.window {
            None => start >= self.window_ended,
            Some(window) => window.is_probe && start >= window.start,
        };
        let best = self.best_latency(operation, latency, is_unaffected);
        let Some(window) = &mut self.window else { return };
        window.best += best;
        window.longest = window.longest.max(latency);
        window.unreached += u32::from(!is_reached);
        window.executions += u32::from(!window.is_probe || is_unaffected);
        let duration = now.duration_since(window.start);
        let is_long_enough = duration >= WINDOW && duration.as_secs_f64() >= window.longest;
        if is_long_enough && window.executions >= WINDOW_EXECUTIONS {
            self.end_window(now, is_reached);
        }
    }

    /// The best latency of an operation after one more execution. An execution that no others have delayed can also raise
    /// it.
    fn best_latency(&mut self, operation: u64, latency: f64, is_unaffected: bool) -> f64 {
        const RAISE: f64 = 1.0 / 16.0;
        let best = match self.best.get(&operation) {
            Some(best) if latency > *best && is_unaffected => best + (latency - best) * RAISE,
            Some(best) => best.min(latency),
            None => latency,
        };
        self.best.insert(operation, best);
        best
    }

    /// Sets the limit to the number of executions that the window needed, and starts the next window.
    fn end_window(&mut self, now: Instant, is_reached: bool) {
        let Some(window) = self.window.take() else { return };
        self.window_ended = now;
        if window.is_probe {
            self.next_probe = now + PROBE_INTERVAL;
        } else if window.unreached <= window.executions / 2 {
            let needed = HEADROOM * window.best / now.duration_since(window.start).as_secs_f64();
            // Half of the way, so that a window with unusual operations has little effect.
            let limit = self.limit + (needed - self.limit) / 2.0;
            self.limit = limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
        }
        let is_probe = now >= self.next_probe;
        self.window = is_reached.then(|| Window::new(now, is_probe));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: LimitBounds = LimitBounds { min: 4, max: 17 };

    /// Runs executions with `latency(n)` beside `n - 1` others for a time, always as many as permitted.
    fn saturate(limit: &mut ConcurrencyLimit, now: &mut Instant, time: Duration, latency: impl Fn(u32) -> f64) {
        let end = *now + time;
        while *now < end {
            let running = limit.get();
            let latency = Duration::from_secs_f64(latency(running));
            limit.reached(*now);
            // `running` executions are in flight, so one ends every `latency / running`.
            *now += latency / running;
            limit.executed(1, *now - latency, *now, true);
        }
    }

    /// One execution at a time.
    fn idle(limit: &mut ConcurrencyLimit, now: &mut Instant, seconds: f64) {
        for _ in 0..100 {
            let start = *now;
            *now += Duration::from_secs_f64(seconds);
            limit.executed(1, start, *now, false);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn executions_that_share_two_processors_are_limited_to_twice_as_many() {
        let mut now = Instant::now() + Duration::from_secs(10);
        let mut limit = ConcurrencyLimit::new(LimitBounds { min: 2, max: 500 }, now);
        idle(&mut limit, &mut now, 0.021);

        saturate(&mut limit, &mut now, Duration::from_secs(300), |running| 0.021 * (f64::from(running) / 2.0).max(1.0));

        assert_eq!(limit.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn executions_that_only_wait_for_a_distant_database_reach_the_maximum() {
        let mut now = Instant::now() + Duration::from_secs(10);
        let mut limit = ConcurrencyLimit::new(BOUNDS, now);

        saturate(&mut limit, &mut now, Duration::from_secs(5), |_| 0.02);

        assert_eq!(limit.get(), BOUNDS.max);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_not_reached_stays() {
        let mut now = Instant::now() + Duration::from_secs(10);
        let mut limit = ConcurrencyLimit::new(BOUNDS, now);
        saturate(&mut limit, &mut now, Duration::from_secs(5), |_| 0.02);

        idle(&mut limit, &mut now, 0.02);

        // The last window began while requests waited.
        assert!(limit.get() >= BOUNDS.max - 1, "{}", limit.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_becomes_slower_keeps_its_limit() {
        let mut now = Instant::now() + Duration::from_secs(10);
        let mut limit = ConcurrencyLimit::new(BOUNDS, now);
        saturate(&mut limit, &mut now, Duration::from_secs(5), |_| 0.002);

        // The best latency is a tenth of the latency, until probes raise it.
        saturate(&mut limit, &mut now, Duration::from_secs(600), |_| 0.02);

        assert_eq!(limit.get(), BOUNDS.max);
    }
}
