//! Where a browser may be sent back to.

use std::fmt;

use axum::http::Uri;
use serde::Deserialize;

/// A path of this site, with its query: sending a browser there never sends it to another site.
///
/// A redirect to whatever a request names would be a gift to phishers (CWE-601). What looks like a path may not be one: browsers
/// take `//evil.example` and `/\evil.example` for another host, and drop tabs and line breaks before they look.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct LocalPath(String);

impl LocalPath {
    pub(crate) fn home() -> Self {
        Self("/".to_owned())
    }

    /// The path, and the query, that a request asked for.
    pub(crate) fn of(uri: &Uri) -> Self {
        Self::from(uri.path_and_query().map_or_else(String::new, ToString::to_string))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `page` with this path as its parameter `to`.
    pub(crate) fn after(&self, page: &str) -> String {
        let query = serde_urlencoded::to_string([("to", &self.0)]).expect("a pair of strings makes a query");
        format!("{page}?{query}")
    }

    fn is_local(text: &str) -> bool {
        text.starts_with('/')
            && !text.starts_with("//")
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    }
}

/// Whatever is no path of this site counts as the home page.
impl From<String> for LocalPath {
    fn from(text: String) -> Self {
        if Self::is_local(&text) { Self(text) } else { Self::home() }
    }
}

impl Default for LocalPath {
    fn default() -> Self {
        Self::home()
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_site_are_kept() {
        for path in
            ["/", "/notes", "/notes?sort=oldest&page=2", "/a/b%20c", "/a//b", "/?to=http://other.example"]
        {
            assert_eq!(LocalPath::from(path.to_owned()).as_str(), path);
        }
    }

    #[test]
    fn whatever_leads_to_another_site_becomes_the_home_page() {
        for path in [
            "",
            "notes",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /notes",
            "http://evil.example",
            "javascript:alert(1)",
            "/caf\u{e9}",
            "/\u{0}",
        ] {
            assert_eq!(LocalPath::from(path.to_owned()), LocalPath::home(), "{path:?}");
        }
    }
}
