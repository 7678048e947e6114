//! The gallery of compile errors in the documentation shows what rustc prints.
//!
//! `GALLERY=overwrite cargo test -p tests --test gallery` writes the errors of the page anew, from the `.stderr` files of
//! `ui/fail`; read them before they are kept.

use std::{collections::BTreeMap, env, fs, ops::Range, path::Path};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../session-runtime/src/guide/compile_errors.md");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/fail");

/// Ends an error that is cut off, and stands between parts of a source.
const ELLIPSIS: &str = "…";

#[test]
fn every_error_is_the_one_that_its_mistake_causes() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut right = page.clone();
    // From the end, so that what was found stays where it is.
    for exhibit in exhibits(&page).iter().rev() {
        let shown = &page[exhibit.error.clone()];
        right.replace_range(exhibit.error.clone(), &cut(&error_of(exhibit.case), shown));
    }
    if env::var_os("GALLERY").is_some_and(|value| value == "overwrite") {
        fs::write(PAGE, right).unwrap();
        return;
    }
    for (shown, right) in page.lines().zip(right.lines()) {
        assert_eq!(shown, right, "the page is out of date; `GALLERY=overwrite` writes it anew");
    }
    assert_eq!(page, right);
}

#[test]
fn every_mistake_is_in_the_source_of_its_case() {
    let page = fs::read_to_string(PAGE).unwrap();
    for Exhibit { case, code, .. } in exhibits(&page) {
        let source = fs::read_to_string(format!("{CASES}/{case}.rs")).unwrap();
        let mut rest = source.as_str();
        for part in page[code].split(&format!("{ELLIPSIS}\n")) {
            let found = rest.split_once(part).filter(|_| !part.trim().is_empty());
            let (_, after) = found.unwrap_or_else(|| panic!("`{case}` has no such lines:\n{part}"));
            rest = after;
        }
    }
}

#[test]
fn every_error_of_the_macros_is_shown() {
    let page = fs::read_to_string(PAGE).unwrap();
    let shown: Vec<_> = page.lines().filter_map(message).collect();
    let mut missing = BTreeMap::new();
    for case in cases() {
        let printed = error_of(&case);
        let unknown = printed.lines().filter_map(message).filter(|message| !shown.contains(message));
        missing.extend(unknown.map(|message| (message, case.clone())));
    }
    assert!(missing.is_empty(), "errors that the page does not show, and a case of each: {missing:#?}");
}

/// A mistake of the page, and the error that it causes.
struct Exhibit<'a> {
    /// The case, named as `folder/file`.
    case: &'a str,
    code: Range<usize>,
    error: Range<usize>,
}

/// `<!-- case -->`, and the two blocks that follow.
fn exhibits(page: &str) -> Vec<Exhibit<'_>> {
    let comments: Vec<_> = page.match_indices("<!-- ").map(|(at, _)| at).collect();
    let exhibits: Vec<_> = comments
        .iter()
        .map(|at| {
            let (case, _) = page[at + 5..].split_once(" -->").unwrap();
            let code = block(page, *at);
            let error = block(page, code.end + 4);
            Exhibit { case, code, error }
        })
        .collect();
    assert!(exhibits.len() > 50, "hardly any exhibits were found");
    assert_eq!(page.matches("```text").count(), 2 * exhibits.len(), "a block belongs to no case");
    exhibits
}

/// The lines of the first block after `from`.
fn block(page: &str, from: usize) -> Range<usize> {
    const OPENING: &str = "```text\n";
    let start = from + page[from..].find(OPENING).unwrap() + OPENING.len();
    start..start + page[start..].find("```").unwrap()
}

/// What rustc prints for a case, in an application called `app`.
fn error_of(case: &str) -> String {
    let printed = fs::read_to_string(format!("{CASES}/{case}.stderr")).unwrap();
    let path = format!("ui/fail/{case}.rs");
    printed.replace(&path, "src/main.rs").replace("$DIR/", "").replace("$CRATE", "app")
}

/// As many lines of `error` as are `shown`.
fn cut(error: &str, shown: &str) -> String {
    if shown.lines().next_back() != Some(ELLIPSIS) {
        return error.to_owned();
    }
    let kept = error.lines().take(shown.lines().count() - 1);
    kept.chain([ELLIPSIS]).flat_map(|line| [line, "\n"]).collect()
}

/// The names of all cases.
fn cases() -> Vec<String> {
    let entries =
        |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let files = entries(Path::new(CASES))
        .into_iter()
        .filter(|path| path.is_dir())
        .flat_map(|folder| entries(&folder));
    let printed = files.filter(|file| file.extension().is_some_and(|extension| extension == "stderr"));
    printed
        .map(|file| file.strip_prefix(CASES).unwrap().with_extension("").to_str().unwrap().to_owned())
        .collect()
}

/// The text of an error in the words of the macros, without what is named in it; `None` for other lines and errors.
fn message(line: &str) -> Option<String> {
    let text =
        line.strip_prefix("error: ").or_else(|| line.strip_prefix("error[E0080]: evaluation panicked: "))?;
    // The parser's, of what is no Rust.
    if text.starts_with("expected ") {
        return None;
    }
    let named = text.split('`').step_by(2).collect::<Vec<_>>().join("`…`");
    Some(named.replace(|c: char| c.is_ascii_digit(), ""))
}
