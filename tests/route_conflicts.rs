//! The compile-time verdict on paths is the verdict of the router that axum uses.

use std::panic::{self, AssertUnwindSafe};

use axum::{
    Router,
    response::Response,
    routing::{MethodFilter, on},
};
use session_runtime::{__private::conflict, Method};

/// A cheap generator, so that a failing case can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A path of few words, so that two of them often begin alike.
    fn path(&mut self) -> String {
        const SEGMENTS: [&str; 13] =
            ["a", "b", "ab", "", "{x}", "{y}", "a{x}", "{*x}", "{*yy}", "a{*x}", "{{x}}", "{{", "a}}{x}"];
        (0..=self.below(3)).map(|_| format!("/{}", self.one_of(&SEGMENTS))).collect()
    }

    /// A route as a table can list it: its path alone is good.
    fn route(&mut self) -> TestRoute {
        const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::HEAD];
        const PREFIXES: [&str; 5] = ["", "", "/a", "/b", "/a/b"];
        if self.below(12) == 0 {
            return (None, self.one_of(&PREFIXES[2..]), "");
        }
        loop {
            let (prefix, path) = (self.one_of(&PREFIXES), self.path());
            if router_accepts(&[&format!("{prefix}{path}")]) && (prefix.is_empty() || path != "/") {
                return (Some(self.one_of(&METHODS)), prefix, path.leak());
            }
        }
    }
}

/// Method, prefix and path; without a method a service at the prefix.
type TestRoute = (Option<Method>, &'static str, &'static str);

fn router_accepts(paths: &[&str]) -> bool {
    let mut router = matchit::Router::new();
    paths.iter().all(|path| router.insert(*path, ()).is_ok())
}

fn axum_accepts(routes: &[TestRoute]) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| {
        let mount = |router: Router, (method, prefix, path): &TestRoute| match method {
            Some(method) => {
                router.route(&format!("{prefix}{path}"), on(MethodFilter::from(*method), async || ()))
            }
            None => {
                router.nest_service(prefix, tower::service_fn(async |_| Ok(Response::new(String::new()))))
            }
        };
        routes.iter().fold(Router::new(), mount)
    }))
    .is_ok()
}

#[test]
fn a_pair_of_paths_conflicts_exactly_when_the_router_refuses_it() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut pairs, mut conflicts) = (0, 0);
    while pairs < 100_000 {
        let (a, b) = (random.path(), random.path());
        if !router_accepts(&[&a]) || !router_accepts(&[&b]) {
            continue;
        }
        pairs += 1;
        let refused = !router_accepts(&[&a, &b]);
        assert_eq!(refused, !router_accepts(&[&b, &a]), "the router's verdict depends on the order: {a} {b}");
        let (a, b): (&'static str, &'static str) = (a.leak(), b.leak());
        let get = Some(Method::GET);
        assert_eq!(conflict(&[(get, "", a), (get, "", b)]), refused, "{a} beside {b}");
        conflicts += u32::from(refused);
    }
    assert!((1_000..99_000).contains(&conflicts), "{conflicts} conflicts among {pairs} pairs show little");
}

#[test]
fn a_table_conflicts_exactly_when_axum_refuses_to_mount_it() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut conflicts = 0;
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut mistaken = Vec::new();
    for _ in 0..2_000 {
        let routes: Vec<_> = (0..2 + random.below(7)).map(|_| random.route()).collect();
        let refused = !axum_accepts(&routes);
        if conflict(&routes) != refused {
            mistaken.push((routes, refused));
        }
        conflicts += u32::from(refused);
    }
    panic::set_hook(hook);
    assert!(mistaken.is_empty(), "{mistaken:?}");
    assert!((200..1_800).contains(&conflicts), "{conflicts} conflicts among 2,000 tables show little");
}
