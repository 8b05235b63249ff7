//! Chance that is the same in every run.

/// Numbers that look random and are the same in every run (xorshift).
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("small")
    }

    /// Whether something is, that is so once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `all`.
    pub fn one<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// Some of `all`, in any order, each at most once.
    pub fn some(&mut self, all: &[String], max: usize) -> Vec<String> {
        let mut rest = all.to_vec();
        let count = self.below(max.min(rest.len()) + 1);
        (0..count).map(|_| rest.swap_remove(self.below(rest.len()))).collect()
    }
}
