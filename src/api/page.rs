//! The page at `/`: what a person needs first, without scripts.

use std::fmt::Write as _;

use super::{Method, ROUTES, Readiness};
use crate::view::{AlertState, Board};

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Anchorwatch</title>
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ccc}
</style></head><body><h1>Anchorwatch</h1>
";

/// The page for the current state.
pub(super) fn render(board: &Board, readiness: &Readiness) -> String {
    let mut page = HEAD.to_owned();
    health(&mut page, readiness);
    models(&mut page, board);
    alerts(&mut page, board);
    links(&mut page);
    page.push_str("</body></html>\n");
    page
}

fn health(page: &mut String, readiness: &Readiness) {
    match readiness.ok {
        true => page.push_str("<p>Ready: events are read and judged.</p>\n"),
        false => _ = writeln!(page, "<p>Not ready: {}</p>", escape(&readiness.reasons.join("; "))),
    }
}

fn models(page: &mut String, board: &Board) {
    page.push_str("<h2>Models</h2>\n");
    let subjects = board.subjects();
    if subjects.is_empty() {
        page.push_str("<p>No window was judged yet.</p>\n");
        return;
    }
    page.push_str("<table><tr><th>model</th><th>version</th><th>segment</th><th>verdicts</th></tr>\n");
    for (subject, view) in subjects {
        let verdicts =
            view.windows.iter().map(|window| format!("{}: {}", window.horizon, window.level.as_str()));
        let verdicts = verdicts.collect::<Vec<_>>().join(", ");
        let segment = subject.segment.as_deref().unwrap_or("all");
        row(page, &[&subject.model, &subject.version, segment, &verdicts]);
    }
    page.push_str("</table>\n");
}

fn alerts(page: &mut String, board: &Board) {
    page.push_str("<h2>Alerts</h2>\n");
    let all = board.alerts();
    let active: Vec<_> = all.iter().filter(|alert| alert.state != AlertState::Resolved).collect();
    if active.is_empty() {
        page.push_str("<p>None.</p>\n");
        return;
    }
    page.push_str("<table><tr><th>state</th><th>kind</th><th>model</th><th>version</th><th>column</th><th>horizon</th></tr>\n");
    for alert in active {
        let (state, kind) = (alert.state.as_str(), alert.kind.as_str());
        row(page, &[state, kind, &alert.model, &alert.version, &alert.column, &alert.horizon]);
    }
    page.push_str("</table>\n");
}

fn links(page: &mut String) {
    page.push_str("<h2>Interfaces</h2>\n<ul>\n");
    for route in ROUTES {
        let path = escape(route.path);
        let shown = match route.path.contains('{') || route.method == Method::Post {
            true => format!("<code>{path}</code>"),
            false => format!("<a href=\"{path}\">{path}</a>"),
        };
        _ = writeln!(page, "<li>{shown} – {}</li>", escape(route.summary));
    }
    page.push_str("</ul>\n");
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    _ = writeln!(page, "<tr>{cells}</tr>");
}

/// Text that stands in HTML as itself.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
