//! Measuring variants of one thing in turn, so that noise meets all of them.

use std::time::Duration;

/// One of the things to compare.
pub(crate) struct Variant<'a> {
    batch: Box<dyn FnMut(usize) -> Duration + 'a>,
}

impl<'a> Variant<'a> {
    /// `batch` gets the number of the round, carries out one batch of operations, and returns the time they took.
    pub(crate) fn new(batch: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self { batch: Box::new(batch) }
    }
}

/// The times of one variant, one of each round, in nanoseconds an operation.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn median(&self) -> f64 {
        median(self.0.iter().copied())
    }

    /// By how much this takes longer than `base`.
    pub(crate) fn above(&self, base: &Self) -> f64 {
        median(self.paired(base).map(|(own, base)| own - base))
    }

    /// How many times as long as `base` this takes.
    pub(crate) fn over(&self, base: &Self) -> f64 {
        median(self.paired(base).map(|(own, base)| own / base))
    }

    fn paired<'a>(&'a self, base: &'a Self) -> impl Iterator<Item = (f64, f64)> {
        self.0.iter().copied().zip(base.0.iter().copied())
    }
}

/// Measures each variant once a round, every round beginning with another one.
///
/// One round more is run ahead, as round 0, and not counted: it warms what a running server has warm.
pub(crate) fn interleave<const N: usize>(
    rounds: usize,
    batch: usize,
    mut variants: [Variant<'_>; N],
) -> [Times; N] {
    let mut times = [(); N].map(|()| Times::default());
    for round in 0..=rounds {
        for position in 0..N {
            let turn = (round + position) % N;
            let elapsed = (variants[turn].batch)(round);
            if round > 0 {
                times[turn].0.push(elapsed.as_secs_f64() * 1e9 / batch as f64);
            }
        }
    }
    times
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
