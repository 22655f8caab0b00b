use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::span_s;
use super::{ALL, Page, Section};
use crate::admin::State;
use crate::admin::access::Session;
use crate::admin::api::read::Status;

fn head(title: &str, csrf: Option<&str>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            @if let Some(csrf) = csrf { meta name="csrf" content=(csrf); }
            title { (title) " · sandtower" }
            link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
            link rel="stylesheet" href="/assets/style.css";
            script src="/assets/script.js" defer {}
        }
    }
}

/// The whole page around its sections.
pub(super) fn page(
    page: Page,
    session: Option<&Session>,
    sections: Vec<(&'static str, String)>,
) -> Markup {
    let section = |id: &str| sections.iter().find(|(name, _)| *name == id).map(|(_, html)| html);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(page.title(), session.map(|session| &*session.csrf)))
            body data-page=(page.path()) {
                header {
                    a.brand href="/" { "sandtower" }
                    div #status data-live {
                        @if let Some(status) = section("status") { (PreEscaped(status)) }
                    }
                    span.grow {}
                    span #connection.muted title="whether this page updates itself" { "connecting" }
                    @if session.is_some() {
                        button.quiet type="button" data-post="/logout" data-then="/" { "Log out" }
                    } @else {
                        a.button.quiet href={ "/login?next=" (page.path()) } { "Log in" }
                    }
                }
                nav aria-label="Pages" {
                    @for other in ALL {
                        a href=(other.path()) aria-current=[(other == page).then_some("page")] {
                            (other.title())
                        }
                    }
                }
                main {
                    h1 { (page.title()) }
                    noscript { p.notice { "Buttons and updates need JavaScript; the API does not." } }
                    @for (id, html) in sections.iter().filter(|(id, _)| *id != "status") {
                        section id=(id) data-live { (PreEscaped(html)) }
                    }
                }
                dialog #confirm {
                    form method="dialog" {
                        p #question {}
                        div.buttons {
                            button value="no" { "Cancel" }
                            button.primary value="yes" { "Confirm" }
                        }
                    }
                }
                dialog #shown {
                    form method="dialog" {
                        p { "The secret of the key. It is shown this once:" }
                        p { code #secret {} }
                        div.buttons { button.primary { "Close" } }
                    }
                }
                div #toast role="status" aria-live="polite" {}
            }
        }
    }
}

/// One word on how the gateway is, on each page.
pub(super) fn status(state: &State) -> Section {
    let core = state.board.core();
    let problems =
        core.problems.iter().filter(|problem| problem.severity.label() != "note").count();
    let (class, text) = match Status::of(&core.problems) {
        Status::Ok => ("ok", String::from("all well")),
        Status::Warning => ("warning", problem_count(problems)),
        Status::Critical => ("critical", problem_count(problems)),
    };
    let uptime = match core.totals.uptime_s {
        0..60 => String::from("less than a minute"),
        uptime => span_s(uptime / 60 * 60),
    };
    let markup = html! {
        a.pill.(class) href="/" { (text) }
        span.muted.wide { "version " (core.totals.version) ", up " (uptime) }
    };
    ("status", markup)
}

fn problem_count(number: usize) -> String {
    if number == 1 { String::from("1 problem") } else { format!("{number} problems") }
}

/// The form for the token; `is_open`: reading needs none.
pub(super) fn login(next: &'static str, error: Option<&str>, is_open: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("Log in", None))
            body.login {
                main {
                    h1 { "sandtower" }
                    p {
                        "Changes need the token of operators: " code { "admin.token" }
                        ", or the one that was printed at the start."
                    }
                    form method="post" action="/login" {
                        input type="hidden" name="next" value=(next);
                        // Password managers ask for one.
                        input type="text" name="user" value="operator" autocomplete="username" hidden;
                        label for="token" { "Token" }
                        input #token type="password" name="token" required autocomplete="current-password" autofocus;
                        @if let Some(error) = error { p.error role="alert" { (error) } }
                        button.primary { "Log in" }
                    }
                    @if is_open { p.muted { a href="/" { "Read without logging in" } } }
                }
            }
        }
    }
}
