//! What each route asks of its callers, as text that can be kept beside the code.

use std::{collections::BTreeSet, env, fmt, fs, io, path::Path, time::Duration};

use super::info::RouteInfo;

/// What each route of a table asks of its callers; from [`Routes::manifest`](crate::Routes::manifest).
///
/// It prints as a table, ordered by path and method:
///
/// ```text
/// METHOD  PATH             PROTECTION       HANDLER                         CHECKS
/// ANY     /assets/{*rest}  public service   assets                          reason = "static files"
/// GET     /getHomeFeed     protected        home_feed::handlers::home_feed
/// DELETE  /posts/{id}      protected        home_feed::handlers::delete     require = [Role.includes("admin")], check = store
/// ```
///
/// # A file that shows who may call what
///
/// A test of one line keeps the table in a file, so that a route whose protection changes is seen in review, even where the
/// change is in another crate:
///
/// ```no_run
/// # use session_runtime::{Routes, public, routes};
/// # #[public(GET "/health")]
/// # async fn health() {}
/// static ROUTES: Routes<()> = routes![health];
///
/// fn the_routes_are_those_of_the_file() {
///     ROUTES.manifest().assert_matches_file("routes.txt");
/// }
/// ```
#[derive(Clone)]
pub struct Manifest(Vec<&'static RouteInfo>);

impl Manifest {
    pub(super) fn of(infos: impl Iterator<Item = &'static RouteInfo>) -> Self {
        let mut infos: Vec<_> = infos.collect();
        infos.sort_by_cached_key(|info| (info.path(), info.method_name()));
        Self(infos)
    }

    /// The routes by path and method, with all that the table shows and more.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static RouteInfo> + '_ {
        self.0.iter().copied()
    }

    /// Checks in a test that the file at `path` shows these routes.
    ///
    /// A path that is not absolute begins at the folder of the package, where cargo runs its tests. Where the file is missing
    /// it is written, but not in CI, that is, with the environment variable `CI` set: there it would never be looked at. With
    /// `UPDATE_MANIFEST=1` in the environment, the file is written anew. How columns are padded does not count.
    ///
    /// # Panics
    ///
    /// If the file shows other routes, with the lines that differ and the way to accept them; if it is missing in CI; and if
    /// it can't be read or written.
    #[track_caller]
    pub fn assert_matches_file(&self, path: impl AsRef<Path>) {
        let missing = match (is_set("UPDATE_MANIFEST"), is_set("CI")) {
            (true, _) => return self.write(path.as_ref()).unwrap_or_else(|error| panic!("{error}")),
            (false, true) => Missing::Fails,
            (false, false) => Missing::IsWritten,
        };
        if let Err(error) = self.check(path.as_ref(), missing) {
            panic!("{error}");
        }
    }

    fn check(&self, path: &Path, missing: Missing) -> Result<(), String> {
        let accept = "accept them with `UPDATE_MANIFEST=1 cargo test`, and commit the file";
        match (fs::read_to_string(path), missing) {
            (Ok(kept), _) => match self.differences(&kept) {
                lines if lines.is_empty() => Ok(()),
                lines => {
                    Err(format!("the routes are not those of `{}`:\n{lines}help: {accept}", path.display()))
                }
            },
            (Err(error), Missing::IsWritten) if error.kind() == io::ErrorKind::NotFound => self.write(path),
            (Err(error), _) => Err(format!(
                "`{}` can't be read: {error}\nhelp: to keep the routes, {accept}",
                path.display()
            )),
        }
    }

    fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.to_string())
            .map_err(|error| format!("`{}` can't be written: {error}", path.display()))
    }

    /// The lines of the file that are no longer true, and those that it lacks, each before its counterpart.
    fn differences(&self, kept: &str) -> String {
        let shown = self.to_string();
        let (kept, shown) = (lines(kept), lines(&shown));
        let removed = kept.difference(&shown).map(|line| (line, '-'));
        let added = shown.difference(&kept).map(|line| (line, '+'));
        let mut changes: Vec<_> = removed.chain(added).collect();
        changes.sort_by_key(|(line, sign)| (line.get(1), line.first(), *sign == '+'));
        changes.into_iter().map(|(line, sign)| format!("{sign} {}\n", line.join(" "))).collect()
    }
}

/// What a file that is not there means.
#[derive(Clone, Copy)]
enum Missing {
    IsWritten,
    Fails,
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["METHOD", "PATH", "PROTECTION", "HANDLER", "CHECKS"].map(String::from);
        let rows: Vec<_> = [header].into_iter().chain(self.0.iter().map(|info| row(info))).collect();
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

fn row(info: &RouteInfo) -> [String; 5] {
    let service = if info.is_service() { " service" } else { "" };
    [
        info.method_name().to_owned(),
        info.path(),
        format!("{}{service}", info.kind()),
        info.handler().to_owned(),
        checks(info),
    ]
}

/// The checks as the attribute states them.
fn checks(info: &RouteInfo) -> String {
    let requirements = info.requirements().join(", ");
    let requirements = match (info.requires_only(), requirements.is_empty()) {
        (true, _) => Some(format!("require_only = [{requirements}]")),
        (false, true) => None,
        (false, false) => Some(format!("require = [{requirements}]")),
    };
    let age = info.max_auth_age().map(|age| format!("max_auth_age = \"{}\"", duration(age)));
    let store = info.checks_store().then(|| "check = store".to_owned());
    let csrf = info.is_dangerously_without_csrf().then(|| "csrf = dangerously_off".to_owned());
    let transport = info.transport().map(|transport| format!("transport = {transport}"));
    let on_refused = info.on_refused().map(|hook| format!("on_refused = {hook}"));
    let on_theft = info.on_theft().map(|hook| format!("on_theft = {hook}"));
    let reason = info.reason().map(|reason| format!("reason = {reason:?}"));
    let all = [requirements, age, store, csrf, transport, on_refused, on_theft, reason];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// In the largest unit that needs no fraction.
fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
    let unit = units.into_iter().find(|(length, _)| secs.is_multiple_of(*length));
    let (length, unit) = unit.unwrap_or((1, "s"));
    format!("{}{unit}", secs / length)
}

/// The words of each line.
fn lines(text: &str) -> BTreeSet<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|line: &Vec<_>| !line.is_empty())
        .collect()
}

fn is_set(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::route::{Method, kind::RouteKind};

    fn manifest(routes: &[(Method, &'static str, RouteKind)]) -> Manifest {
        let infos = routes.iter().map(|(method, path, kind)| {
            &*Box::leak(Box::new(RouteInfo::bare(Some(*method), "", path, *kind, 0)))
        });
        Manifest::of(infos)
    }

    fn two() -> Manifest {
        manifest(&[(Method::POST, "/b", RouteKind::Login), (Method::GET, "/a/{id}", RouteKind::Public)])
    }

    /// A path in a folder of this test's own, where there is no file.
    fn free_path(test: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("manifest-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join("routes.txt")
    }

    #[test]
    fn the_table_is_aligned_and_in_the_order_of_its_paths() {
        assert_eq!(
            two().to_string(),
            "METHOD  PATH     PROTECTION  HANDLER    CHECKS\n\
             GET     /a/{id}  public      handler_0\n\
             POST    /b       login       handler_0\n"
        );
    }

    #[test]
    fn a_route_whose_protection_changed_is_shown_beside_what_it_was() {
        let kept = two().to_string();
        let now =
            manifest(&[(Method::POST, "/b", RouteKind::Public), (Method::GET, "/a/{id}", RouteKind::Public)]);
        assert_eq!(now.differences(&kept), "- POST /b login handler_0\n+ POST /b public handler_0\n");
        assert_eq!(
            manifest(&[]).differences(&kept),
            "- GET /a/{id} public handler_0\n- POST /b login handler_0\n"
        );
    }

    #[test]
    fn padding_and_line_ends_make_no_difference() {
        let kept = two().to_string().replace("  ", "     ").replace('\n', "\r\n");
        assert_eq!(two().differences(&kept), "");
    }

    #[test]
    fn a_missing_file_is_written_but_fails_in_ci() {
        let path = free_path("missing");
        let error = two().check(&path, Missing::Fails).unwrap_err();
        assert!(error.contains("can't be read") && error.contains("UPDATE_MANIFEST=1"), "{error}");
        assert!(!path.exists());
        two().check(&path, Missing::IsWritten).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), two().to_string());
        two().check(&path, Missing::Fails).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_differs_is_left_as_it_is() {
        let path = free_path("differs");
        fs::write(&path, "GET /gone public").unwrap();
        for missing in [Missing::IsWritten, Missing::Fails] {
            let error = two().check(&path, missing).unwrap_err();
            assert!(error.contains("\n- GET /gone public\n"), "{error}");
            assert!(error.contains("\n+ POST /b login handler_0\n"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "GET /gone public");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_duration_is_shown_as_one_would_write_it() {
        for (secs, shown) in [(90, "90s"), (900, "15m"), (3_600, "1h"), (172_800, "2d"), (90_000, "25h")] {
            assert_eq!(duration(Duration::from_secs(secs)), shown);
        }
    }
}
