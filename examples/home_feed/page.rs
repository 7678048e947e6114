//! The page at `/`: plain HTML, CSS and JavaScript modules, built into the program.

use axum::{
    extract::Path,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{Html, IntoResponse},
};
use session_runtime::{RouteGroup, public, route_group};

use crate::handlers::App;

pub(crate) static ROUTES: RouteGroup<App> = route_group![index, page_file];

/// Nothing of another origin, nothing inline: a script that somebody smuggles in does not run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $content_type:expr,)*) => {
        &[$(($name, $content_type, include_str!(concat!("page/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "main.js": SCRIPT,
    "client.js": SCRIPT,
    "bound.js": SCRIPT,
    "stream.js": SCRIPT,
    "story.js": SCRIPT,
    "rules.js": SCRIPT,
    "timeline.js": SCRIPT,
    "log.js": SCRIPT,
    "token_table.js": SCRIPT,
    "devices.js": SCRIPT,
    "hints.js": SCRIPT,
    "vendor/supertokens-website.js": SCRIPT,
};

#[public(GET "/")]
async fn index() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("page/index.html")))
}

#[public(GET "/page/{*name}")]
async fn page_file(Path(name): Path<String>) -> Result<impl IntoResponse, StatusCode> {
    let (_, content_type, content) =
        FILES.iter().find(|(file, ..)| *file == name).ok_or(StatusCode::NOT_FOUND)?;
    let headers = [
        (CONTENT_TYPE, *content_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // So that a newer build of the program shows at once.
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, *content))
}
