//! The compile-time verdict on two paths is the verdict of the router that axum uses.

use session_runtime::__private::conflict;

/// A cheap generator, so that a failing case can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A path of few words, so that two of them often begin alike.
    fn path(&mut self) -> String {
        const SEGMENTS: [&str; 13] =
            ["a", "b", "ab", "", "{x}", "{y}", "a{x}", "{*x}", "{*yy}", "a{*x}", "{{x}}", "{{", "a}}{x}"];
        let mut path = String::new();
        for _ in 0..=self.below(3) {
            path.push('/');
            path.push_str(SEGMENTS[self.below(SEGMENTS.len())]);
        }
        path
    }
}

fn router_accepts(paths: &[&str]) -> bool {
    let mut router = matchit::Router::new();
    paths.iter().all(|path| router.insert(*path, ()).is_ok())
}

#[test]
fn a_pair_of_paths_conflicts_exactly_when_the_router_refuses_it() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut pairs, mut conflicts) = (0, 0);
    while pairs < 40_000 {
        let (a, b) = (random.path(), random.path());
        if !router_accepts(&[&a]) || !router_accepts(&[&b]) {
            continue;
        }
        pairs += 1;
        let refused = !router_accepts(&[&a, &b]);
        assert_eq!(refused, !router_accepts(&[&b, &a]), "the router's verdict depends on the order: {a} {b}");
        let (a, b): (&'static str, &'static str) = (a.leak(), b.leak());
        assert_eq!(conflict(a, b), refused, "{a} beside {b}");
        conflicts += u32::from(refused);
    }
    assert!((1_000..39_000).contains(&conflicts), "{conflicts} conflicts among {pairs} pairs show little");
}
