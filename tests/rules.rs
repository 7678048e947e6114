//! The table from rule to test, `RULES.md`: each rule has tests, and each of them is there. And rules about the sources themselves.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that is wrong with a table.
fn problems(table: &str) -> Vec<String> {
    let (mut problems, mut rules) = (Vec::new(), Vec::new());
    let lines = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule |"));
    for line in lines {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[rule, test, place] = &cells[..] else {
            problems.push(format!("not three cells: {line}"));
            continue;
        };
        match rule {
            "" if rules.is_empty() => problems.push(format!("a test without a rule: {line}")),
            "" => {}
            _ if rules.contains(&rule) => problems.push(format!("stated twice: {rule}")),
            _ => rules.push(rule),
        }
        if !is_there(test, place.trim_matches('`')) {
            problems
                .push(format!("{test} is not in {place}, and should show: {}", rules.last().unwrap_or(&"")));
        }
    }
    if rules.is_empty() {
        problems.push("no rules".to_owned());
    }
    problems
}

/// Whether a place has a test: a folder a case, Rust a function, or the title in quotes that anything has.
fn is_there(test: &str, place: &str) -> bool {
    let path = root().join(place);
    if let Some(title) = test.strip_prefix('"').and_then(|test| test.strip_suffix('"')) {
        let is_title = |text: String| text.contains(&format!("\"{title}"));
        return !title.is_empty() && fs::read_to_string(path).is_ok_and(is_title);
    }
    let name = test.trim_matches('`');
    if name.is_empty() || path.is_dir() {
        return !name.is_empty() && path.join(name).is_file();
    }
    fs::read_to_string(path).is_ok_and(|source| has_test(&source, name))
}

/// Whether a Rust source has a test function of this name, which is not left out.
fn has_test(source: &str, name: &str) -> bool {
    let is_declared = |line: &str| {
        let rest = line.trim_start().trim_start_matches("async ").strip_prefix("fn ");
        rest.is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    };
    let lines: Vec<_> = source.lines().collect();
    let declared = lines.iter().position(|line| is_declared(line));
    let attributes = declared.into_iter().flat_map(|at| {
        lines[..at].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with("#["))
    });
    let attributes: Vec<_> = attributes.collect();
    attributes.iter().any(|line| line.contains("test"))
        && !attributes.iter().any(|line| line.contains("ignore"))
}

#[test]
fn every_rule_has_tests_and_each_of_them_is_there() {
    assert_eq!(problems(&read("tests/RULES.md")), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_table_is_found() {
    let wrong = [
        ("", "no rules"),
        ("| A rule. | `no_such_test` | `tests/rules.rs` |", "`no_such_test` is not in"),
        ("| A rule. | `has_test` | `tests/rules.rs` |", "`has_test` is not in"),
        ("| A rule. | `victim` | `tests/stores/crash.rs` |", "`victim` is not in"),
        ("| A rule. | | `tests/rules.rs` |", "not three cells"),
        ("| A rule. | `` | `tests/ui/fail/routes` |", "is not in"),
        ("| A rule. | `no_such_case.rs` | `tests/ui/fail/routes` |", "is not in"),
        ("| A rule. | \"no such title\" | `tests/bypass.sh` |", "is not in"),
        ("| A rule. | \"\" | `tests/bypass.sh` |", "is not in"),
        ("| A rule. | `a_form` | `tests/no_such_file.rs` |", "is not in"),
        ("| A rule. | `tests/rules.rs` |", "not three cells"),
        ("| | `what_is_wrong_with_a_table_is_found` | `tests/rules.rs` |", "a test without a rule"),
    ];
    for (table, problem) in wrong {
        let found = problems(table);
        assert!(found.iter().any(|found| found.contains(problem)), "{table}: {found:?}");
    }
    let row = "| A rule. | `what_is_wrong_with_a_table_is_found` | `tests/rules.rs` |\n";
    assert_eq!(problems(row), [""; 0]);
    assert_eq!(problems(&row.repeat(2)), ["stated twice: A rule."]);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let workspace = read("Cargo.toml");
    for lint in [
        "unsafe_code = \"forbid\"",
        "await_holding_lock = \"deny\"",
        "await_holding_invalid_type = \"deny\"",
        "disallowed_methods = \"deny\"",
    ] {
        assert!(workspace.lines().any(|line| line == lint), "{lint}");
    }
    let members = workspace.lines().find(|line| line.starts_with("members = ")).expect("a workspace");
    let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
    assert!(!members.is_empty());
    for member in members {
        assert!(read(&format!("{member}/Cargo.toml")).contains("\n[lints]\nworkspace = true\n"), "{member}");
    }
}

/// Where MACs, signatures and secrets are compared, and by what, outside of tests.
#[test]
fn secrets_are_compared_in_constant_time() {
    const SECRETS: [&str; 6] = ["mac", "half", "whole", "proof", "signature", "secret"];
    for (file, means) in [
        ("refresh.rs", "verify_slices_are_equal(a, b)"),
        ("derived.rs", "verify_slices_are_equal(&anti_csrf_mac("),
        ("key_ring.rs", "verify_slices_are_equal(&self.0, &other.0)"),
        ("signing.rs", "hmac::verify(key, message, signature)"),
    ] {
        let source = read(&format!("session-runtime/src/token/{file}"));
        let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        assert!(source.contains(means), "{file} compares by other means than {means}");
        for line in source.lines().filter(|line| line.contains("==") || line.contains("!=")) {
            let mut words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
            assert!(!words.any(|word| SECRETS.contains(&word)), "{file}: {line}");
        }
    }
}
