//! The pages, as HTML.

use maud::{DOCTYPE, Markup, html};

use crate::local_path::LocalPath;

/// The form to log in with; `failed` after a wrong password.
pub(crate) fn login(to: &LocalPath, failed: bool) -> Markup {
    page(
        "Log in",
        &html! {
            @if failed { p role="alert" { "Wrong user or password." } }
            form method="post" action="/login" {
                input type="hidden" name="to" value=(to);
                p { label { "User " input name="user" value="alice" autocomplete="username" required; } }
                p { label { "Password " input name="password" type="password" value="demo" autocomplete="current-password" required; } }
                button { "Log in" }
            }
        },
    )
}

/// The notes of `user`; `unsaved` if the last one was sent too late.
pub(crate) fn notes(user: &str, notes: &[String], unsaved: bool) -> Markup {
    page(
        &format!("The notes of {user}"),
        &html! {
            @if unsaved {
                p role="alert" { "Your session had expired, and was renewed. Your last note was not saved: please send it again." }
            }
            ul { @for note in notes { li { (note) } } }
            form method="post" action="/notes" {
                p { label { "A new note " input name="text" maxlength="200" required; } }
                button { "Save" }
            }
            (logout_form())
        },
    )
}

pub(crate) fn logout(user: &str) -> Markup {
    page(
        "Log out?",
        &html! {
            p { "You are logged in as " (user) "." }
            (logout_form())
        },
    )
}

/// The page whose script renews the session and goes back to `to`.
pub(crate) fn renew(to: &LocalPath) -> Markup {
    page(
        "One moment",
        &html! {
            p id="renewing" data-to=(to) data-login=(to.after("/login")) role="status" { "Your session is being renewed …" }
            noscript { p { "Without JavaScript, please " a href=(to.after("/login")) { "log in again" } "." } }
            script type="module" src="/session/renew.js" {}
        },
    )
}

fn logout_form() -> Markup {
    html! { form method="post" action="/logout" { button { "Log out" } } }
}

fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
            }
            body {
                main {
                    h1 { (title) }
                    (content)
                }
            }
        }
    }
}
