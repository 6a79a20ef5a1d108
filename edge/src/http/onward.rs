//! The ways in which a browser is sent on to a landing page.

use super::reply::{self, Reply};
use crate::decide::preview::escape;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION};
use proto_model::RedirectKind;

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// `None` when `url` cannot stand in a header, which a checked snapshot rules out.
pub fn onward(kind: RedirectKind, url: &str) -> Option<Reply> {
    let status = match kind {
        RedirectKind::Found => StatusCode::FOUND,
        RedirectKind::Moved => StatusCode::MOVED_PERMANENTLY,
        RedirectKind::Temporary => StatusCode::TEMPORARY_REDIRECT,
        RedirectKind::Meta | RedirectKind::Js | RedirectKind::NoReferrer => return page(kind, url),
    };
    let location = HeaderValue::from_str(url).ok()?;
    let mut reply = reply::empty(status);
    reply.headers_mut().insert(LOCATION, location);
    Some(reply)
}

/// A page that leads on by itself, with a link for those whose browser does not.
fn page(kind: RedirectKind, url: &str) -> Option<Reply> {
    HeaderValue::try_from(url).ok()?;
    let shown = escape(url);
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"0;url={shown}\">");
    let head = match kind {
        RedirectKind::Js => {
            format!("<script>location.replace({})</script><noscript>{refresh}</noscript>", quoted(url))
        }
        RedirectKind::NoReferrer => format!("<meta name=\"referrer\" content=\"no-referrer\">{refresh}"),
        _ => refresh,
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{head}<title>…</title></head>\
         <body><p><a href=\"{shown}\" rel=\"nofollow noreferrer\">Continue · 继续</a></p></body></html>\n"
    );
    let mut reply = reply::html(StatusCode::OK, html);
    let headers = reply.headers_mut();
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    if kind == RedirectKind::NoReferrer {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    Some(reply)
}

/// A string of JavaScript within HTML: nothing in it ends the string or the script.
fn quoted(url: &str) -> String {
    let mut out = String::with_capacity(url.len() + 2);
    out.push('"');
    for c in url.chars() {
        match c {
            '"' | '\\' | '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const URL: &str = "https://shop.example/a?b='1'&c=%22#d";

    async fn body(reply: Reply) -> String {
        String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_kind_leads_to_the_page() {
        let statuses =
            [(RedirectKind::Found, 302), (RedirectKind::Moved, 301), (RedirectKind::Temporary, 307)];
        for (kind, status) in statuses {
            let reply = onward(kind, URL).unwrap();
            assert_eq!(reply.status().as_u16(), status);
            assert_eq!(reply.headers()[LOCATION], URL);
            assert_eq!(reply.headers()["cache-control"], "no-store");
        }
        let meta = body(onward(RedirectKind::Meta, URL).unwrap()).await;
        assert!(
            meta.contains("content=\"0;url=https://shop.example/a?b=&#39;1&#39;&amp;c=%22#d\""),
            "{meta}"
        );
        let js = body(onward(RedirectKind::Js, URL).unwrap()).await;
        assert!(
            js.contains("location.replace(\"https://shop.example/a?b=\\u00271\\u0027\\u0026c=%22#d\")"),
            "{js}"
        );
        let silent = onward(RedirectKind::NoReferrer, URL).unwrap();
        assert_eq!(silent.headers()["referrer-policy"], "no-referrer");
        assert!(body(silent).await.contains("name=\"referrer\" content=\"no-referrer\""));
        for kind in RedirectKind::ALL {
            assert!(onward(*kind, "https://shop.example/\r\nX: y").is_none());
        }
    }
}
