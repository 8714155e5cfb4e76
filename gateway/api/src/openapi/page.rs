//! A page that lists a family's operations. It loads nothing, so it works where nothing else is reachable.

use std::fmt::Write;

use utoipa::openapi::{HttpMethod, OpenApi, path::Operation};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}section{border-top:1px solid #ccc;padding:1rem 0}code{font:14px/1.4 \
ui-monospace,monospace;background:#f2f2f2;padding:.1em .3em}h2{font-size:1rem;margin:0}p{margin:.4rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code{background:#2a2a2a}}";

pub(crate) fn page(document: &OpenApi) -> String {
    let mut html = String::new();
    let title = escape(&document.info.title);
    let about = document.info.description.as_deref().map(escape).unwrap_or_default();
    let mut put =
        |text: std::fmt::Arguments<'_>| html.write_fmt(text).expect("writing to a string cannot fail");
    put(format_args!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n"
    ));
    put(format_args!(
        "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n"
    ));
    put(format_args!("<h1>{title}</h1><p>{about}</p>\n"));
    put(format_args!(
        "<p>The whole description: <a href=\"/openapi/core.json\">/openapi/core.json</a></p>\n"
    ));
    for (path, item) in &document.paths.paths {
        let operations = [
            (HttpMethod::Get, &item.get),
            (HttpMethod::Post, &item.post),
            (HttpMethod::Put, &item.put),
            (HttpMethod::Patch, &item.patch),
            (HttpMethod::Delete, &item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                put(format_args!("{}", section(&method, path, operation)));
            }
        }
    }
    put(format_args!("</body></html>\n"));
    html
}

fn section(method: &HttpMethod, path: &str, operation: &Operation) -> String {
    let method = match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
        _ => "",
    };
    let summary = operation.summary.as_deref().map(escape).unwrap_or_default();
    let more = operation.description.as_deref().map(escape).unwrap_or_default();
    let statuses: Vec<String> = operation
        .responses
        .responses
        .keys()
        .map(|status| format!("<code>{}</code>", escape(status)))
        .collect();
    let path = escape(path);
    format!(
        "<section><h2><code>{method} {path}</code></h2><p>{summary}</p><p>{more}</p><p>Answers {}</p></section>\n",
        statuses.join(" ")
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
