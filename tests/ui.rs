//! What the macros accept, and the errors they give for what they refuse.
//!
//! `TRYBUILD=overwrite cargo test -p tests --test ui` writes the `.stderr` files anew; read each before it is kept.

#[test]
fn the_macros_accept_and_refuse() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*/*.rs");
    cases.compile_fail("ui/fail/*/*.rs");
}
