//! Whatever is written, no macro panics: it answers with an error, or with an expansion that is Rust.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::{Expr, File, Item};

use crate::{
    Check, emit2, login_endpoint, logout_endpoint, protected, public, refresh_endpoint, requirement,
    routes::{self, Completeness},
};

const CASES: usize = 20_000;

/// Handlers that every attribute accepts.
const HANDLERS: [&str; 6] = [
    "async fn home_feed(session: Session) -> Json<Feed> { feed(session.user_id()).await }",
    "pub async fn home_feed() {}",
    "/// Documented.\n#[cfg(feature = \"x\")] #[allow(dead_code)] pub(crate) async fn f(_: Session, s: State<u64>) -> u8 { 1 }",
    "#[instrument(skip_all)] #[cfg_attr(a, deprecated, cfg(b))] async fn f(mut login: Login, State(db): State<Db>) {}",
    "async fn f(s: Result<Session, SessionError>, x: &'static [(u8, X::<Y>)]) -> impl IntoResponse { s?; }",
    "#[debug_handler(state = App)] #[must_use] async fn r#type(session: app::Session, Json(x): Json<Vec<[u8; 4]>>) {}",
];

/// Items that they refuse.
const OTHER_ITEMS: [&str; 9] = [
    "fn not_async(session: Session) {}",
    "async fn f(session: Option<Session>, Path((a, b)): Path<(u8, String)>) { if let Some(s) = session { return } }",
    "async unsafe extern \"C\" fn f<T: Clone>(self, x: impl Fn(u8) -> u8, s: S, t: S) where T: Copy {}",
    "#[protected(GET \"/twice\")] #[public(GET \"/\")] async fn f(session: Session) {}",
    "pub struct Feed<T> { posts: Vec<T> }",
    "impl App { async fn f(&self) {} }",
    "mod handlers { async fn f() {} }",
    "const X: fn(u8) -> u8 = |x| x;",
    "",
];

/// Arguments that attributes refuse; some suit one or another.
const OTHER_ARGS: [&str; 12] = [
    "GET \"/a/{b}/{*rest}\", optional",
    "POST \"/refresh\", on_theft = alarms::sound_the_alarm",
    "POST \"/refresh/\", on_theft = |theft| async {}",
    "GET \"/posts/:id\"",
    "get \"no-slash\", requre = [], check = database, max_auth_age = 15",
    "GET, require, optional = true, optional",
    "\"/path\", GET \"//\"",
    "PATCH \"/{{x}}/%41/{a}-b\"",
    "BREW \"/té{\", max_auth_age = \"99999999999999999999d\"",
    "DELETE \"/posts/{id}\", require = [a, b(|c| c), if d { e } else { f }], optional",
    "TRACE \"/\", require = (Role), check, max_auth_age = \"\"",
    ",",
];

const TABLES: [&str; 12] = [
    "login, refresh, logout, home_feed",
    "login, refresh, admin::delete_post,",
    "\"/api\" => [login, refresh, \"/v1\" => [feed::home_feed,],], health",
    "#[cfg(feature = \"admin\")] admin, #[cfg(test)] \"/t\" => [a, #[cfg(x)] b]",
    "",
    "refresh, \"/assets\" => public_service(assets, reason = \"static files\")",
    "\"/old\" => protected_service(legacy, require = [owns_post, Role.is(1)], check = store, on_refused = f)",
    "\"/api/\" => [login]",
    "\"/{tenant}\" => [login], \"/x\"",
    "login refresh",
    "..other::ROUTES, self::crate::x, r#type, #[doc = \"x\"] y",
    "a::b::<C>, \"/x\" => login, \"/y\" => [",
];

/// What mutations put in.
const PIECES: [&str; 64] = [
    "GET",
    "get",
    "POST",
    "DELETE",
    "\"/a/{b}\"",
    "\"/refresh\"",
    "\"x\"",
    "\"\"",
    "r#\"/raw\"#",
    "b\"bytes\"",
    "c\"c\"",
    "\"/s\"suffix",
    "\"/\\u{1F600}\"",
    "\"\\n\"",
    "'c'",
    "'a",
    "0",
    "1e3",
    "-1",
    "0xffu8",
    "99999999999999999999",
    "1.5",
    ",",
    "=",
    "=>",
    "::",
    "..",
    "..=",
    "->",
    ".",
    ";",
    ":",
    "#",
    "!",
    "?",
    "&",
    "|",
    "<",
    ">",
    "*",
    "$",
    "@",
    "_",
    "require = [A]",
    "max_auth_age",
    "\"15m\"",
    "check = store",
    "optional",
    "on_theft",
    "async",
    "fn",
    "f",
    "pub",
    "self",
    "mut",
    "impl",
    "where",
    "Session",
    "Path<(u8, u8)>",
    "Option<Session>",
    "r#type",
    "é",
    "#[cfg(x)]",
    "{ }",
];

/// Every key of `#[protected]` but `optional` and `require`.
const PROTECTED: &str = "DELETE \"/posts\", require_only = [Role.includes(\"admin\"), a::owns_post, A.any(1..=2)], \
                         max_auth_age = \"15m\", check = store, csrf = dangerously_off, transport = cookie, \
                         on_refused = a::to_login";

#[test]
fn protected_answers_whatever_is_written() {
    attribute_answers(
        "protected",
        protected::check,
        &["GET \"/getHomeFeed\"", "optional", "", "check = store", PROTECTED],
        1,
    );
}

#[test]
fn refresh_endpoint_answers_whatever_is_written() {
    attribute_answers(
        "refresh_endpoint",
        refresh_endpoint::check,
        &["POST \"/refresh\"", "", "on_theft = report", "POST \"/r\", on_theft = a::b::<C>"],
        2,
    );
}

#[test]
fn login_endpoint_answers_whatever_is_written() {
    attribute_answers(
        "login_endpoint",
        login_endpoint::check,
        &["POST \"/login\"", "POST \"/\"", "POST \"/a/%41;x/\"", ""],
        3,
    );
}

#[test]
fn logout_endpoint_answers_whatever_is_written() {
    attribute_answers(
        "logout_endpoint",
        logout_endpoint::check,
        &["POST \"/logout\"", "", "POST \"/auth/{{out}}\""],
        4,
    );
}

#[test]
fn public_answers_whatever_is_written() {
    attribute_answers("public", public::check, &["GET \"/health\"", "CONNECT \"/a/{b}/{*rest}\"", ""], 5);
}

#[test]
fn requirement_answers_whatever_is_written() {
    let good = [
        "async fn owns_post(session: &Session, Path(id): Path<u64>, State(db): State<Db>) -> bool { true }",
        "/// Documented.\n#[cfg(x)] pub(crate) fn f(_: &app::Session) -> Result<(), RequirementFailure> { Ok(()) }",
    ];
    let items = [&good[..], &HANDLERS, &OTHER_ITEMS].concat();
    let mut random = Random::seeded(7);
    let (mut expanded, mut refused) = (0, 0);
    for case in 0..CASES {
        let args = if case % 8 == 0 { random.input(&OTHER_ARGS) } else { TokenStream::new() };
        let item = if case % 2 == 0 { random.input(&good) } else { random.input(&items) };
        let written = || format!("#[requirement({args})]\n{item}");
        let answer = without_panic(|| requirement::expand(&args, &item), written);
        assert!(!is_rust(&item) || is_rust(&answer), "broken: {}\n{answer}", written());
        *if is_refused(&answer) { &mut refused } else { &mut expanded } += 1;
    }
    assert!(
        expanded > CASES / 20 && refused > CASES / 20,
        "one-sided: {expanded} expanded, {refused} refused"
    );
}

#[test]
fn routes_answers_whatever_is_written() {
    let mut random = Random::seeded(6);
    let (mut expanded, mut refused) = (0, 0);
    for case in 0..CASES {
        let table = random.input(&TABLES);
        let completeness = if case % 2 == 0 { Completeness::Complete } else { Completeness::Partial };
        let answer =
            without_panic(|| routes::expand(completeness, table.clone()), || format!("routes![{table}]"));
        assert!(syn::parse2::<Expr>(answer.clone()).is_ok(), "no expression: routes![{table}]\n{answer}");
        *if is_refused(&answer) { &mut refused } else { &mut expanded } += 1;
    }
    assert!(
        expanded > CASES / 20 && refused > CASES / 20,
        "one-sided: {expanded} expanded, {refused} refused"
    );
}

/// An editor asks for the expansion at every key that is pressed: the function must not vanish meanwhile.
#[test]
fn half_typed_arguments_still_emit_the_function() {
    let item = tokens("pub async fn home_feed(session: Session) -> String { session.user_id().to_owned() }");
    for half in [
        "GET",
        "GET \"\"",
        "GET \"/\", ",
        "GET \"/x",
        "GET \"/x\" req",
        "GET \"/x\", req",
        "GET \"/x\", require",
        "GET \"/x\", require =",
        "GET \"/x\", require = []",
        "GET \"/x\", require = [Role.]",
        "GET \"/x\", require = [Role.includes(]",
        "GET \"/x\", require = [owns_post, Role.]",
        "GET \"/x\", on_refused =",
        "GET \"/x\", transport = coo",
        "GET \"/x\", max_auth_age = \"15",
        "GET \"/x\", check = st",
        "GET \"/posts/{",
    ] {
        // What is not even a token stream never reaches a macro.
        let Ok(args) = half.parse::<TokenStream>() else { continue };
        let answer = emit2("protected", protected::check, args, item.clone());
        let file: File =
            syn::parse2(answer.clone()).unwrap_or_else(|error| panic!("{half}: {error}\n{answer}"));
        let functions =
            file.items.iter().filter(|item| matches!(item, Item::Fn(f) if f.sig.ident == "home_feed"));
        assert_eq!(functions.count(), 1, "{half}\n{answer}");
        let is_finished = half == "GET \"/\", ";
        assert_ne!(is_refused(&answer), is_finished, "{half}\n{answer}");
        let answer = answer.to_string();
        let guard = |protection| format!("Guard < {protection} , Session >");
        let is_guarded = ["home_feed", ":: session_runtime :: __private :: kind :: Required"]
            .iter()
            .any(|protection| answer.contains(&guard(protection)));
        assert!(is_guarded, "unguarded: {half}\n{answer}");
    }
}

/// As `macro_rules!` passes on a `$body:block`.
#[test]
fn a_body_in_an_invisible_group_is_a_body() {
    let body = Group::new(Delimiter::None, tokens("{ }"));
    let item: TokenStream =
        [tokens("async fn f(_: Session)"), TokenTree::from(body).into()].into_iter().collect();
    let answer = emit2("protected", protected::check, TokenStream::new(), item);
    assert!(!is_refused(&answer) && is_rust(&answer), "{answer}");
}

fn attribute_answers(attribute: &str, check: Check, good_args: &[&str], seed: u64) {
    let mut random = Random::seeded(seed);
    let (all_args, all_items) = ([good_args, &OTHER_ARGS].concat(), [&HANDLERS[..], &OTHER_ITEMS].concat());
    let (mut expanded, mut refused) = (0, 0);
    for case in 0..CASES {
        let (args, item) = match case % 3 {
            0 => (random.input(&all_args), tokens(random.pick(&HANDLERS))),
            1 => (tokens(random.pick(good_args)), random.input(&all_items)),
            _ => (random.input(&all_args), random.input(&all_items)),
        };
        let written = || format!("#[{attribute}({args})]\n{item}");
        let answer = without_panic(|| emit2(attribute, check, args.clone(), item.clone()), written);
        if is_refused(&answer) {
            refused += 1;
        } else {
            assert!(is_rust(&without_bodies(item.clone())), "not refused: {}\n{answer}", written());
            expanded += 1;
        }
        if is_rust(&item) {
            assert!(is_rust(&answer), "broken: {}\n{answer}", written());
        }
    }
    assert!(
        expanded > CASES / 20 && refused > CASES / 20,
        "one-sided: {expanded} expanded, {refused} refused"
    );
}

fn without_panic<T>(run: impl FnOnce() -> T, written: impl Fn() -> String) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| panic!("a panic at {}", written()))
}

fn is_refused(answer: &TokenStream) -> bool {
    answer.clone().into_iter().any(|tree| match tree {
        TokenTree::Ident(name) => name == "compile_error",
        TokenTree::Group(group) => is_refused(&group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Whether these are items, as far as syn can tell. An item has no attributes of the file around it.
fn is_rust(items: &TokenStream) -> bool {
    syn::parse2::<File>(items.clone()).is_ok_and(|file| file.attrs.is_empty())
}

/// The items with nothing in their outermost braces: a body is passed on verbatim, and rustc's affair.
fn without_bodies(items: TokenStream) -> TokenStream {
    let emptied = |tree| match tree {
        TokenTree::Group(group) => TokenTree::Group(match group.delimiter() {
            Delimiter::Brace => Group::new(Delimiter::Brace, TokenStream::new()),
            Delimiter::None => Group::new(Delimiter::None, without_bodies(group.stream())),
            Delimiter::Parenthesis | Delimiter::Bracket => group,
        }),
        tree => tree,
    };
    items.into_iter().map(emptied).collect()
}

fn tokens(text: &str) -> TokenStream {
    TokenStream::from_str(text).unwrap_or_default()
}

/// xorshift: a failing case can be had again.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }

    /// One of `texts` as it is, or changed in a few places, or pieces at random.
    fn input(&mut self, texts: &[&str]) -> TokenStream {
        match self.below(8) {
            0 | 1 => tokens(self.pick(texts)),
            2 => (0..self.below(12)).map(|_| tokens(self.pick(&PIECES))).collect(),
            changes => (2..changes).fold(tokens(self.pick(texts)), |input, _| self.mutated(input)),
        }
    }

    /// Changes one token, at whatever depth.
    fn mutated(&mut self, input: TokenStream) -> TokenStream {
        let mut trees: Vec<TokenTree> = input.into_iter().collect();
        let at = self.below(trees.len());
        match trees.get_mut(at) {
            Some(TokenTree::Group(group)) if self.below(4) > 0 => {
                *group = Group::new(group.delimiter(), self.mutated(group.stream()));
            }
            _ => self.mutate_at(&mut trees, at),
        }
        trees.into_iter().collect()
    }

    fn mutate_at(&mut self, trees: &mut Vec<TokenTree>, at: usize) {
        let other = self.below(trees.len());
        let piece = tokens(self.pick(&PIECES));
        match (self.below(7), trees.get(at).cloned()) {
            (0, Some(_)) => drop(trees.remove(at)),
            (1, Some(tree)) => trees.insert(other, tree),
            (2, Some(_)) => trees.swap(at, other),
            (3, Some(_)) => drop(trees.splice(at..=at, piece)),
            (4, Some(_)) => trees.truncate(at),
            (5, Some(TokenTree::Group(group))) => trees[at] = self.regrouped(&group),
            (_, _) => drop(trees.splice(at..at, piece)),
        }
    }

    fn regrouped(&mut self, group: &Group) -> TokenTree {
        let delimiters = [Delimiter::Brace, Delimiter::Bracket, Delimiter::Parenthesis, Delimiter::None];
        TokenTree::Group(Group::new(delimiters[self.below(4)], group.stream()))
    }
}
