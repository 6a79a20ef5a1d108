//! Programs that look at a link to show it in a chat or a timeline. They get a small page with title and picture; they
//! are no clicks, and the shopper who follows later is one.

/// What their user agents hold, in lower case. Only declared ones: a browser inside a messenger belongs to a person
/// (`MicroMessenger`, `FBAN`, `Line/` are none).
const AGENTS: &[&str] = &[
    "facebookexternalhit",
    "facebot",
    "twitterbot",
    "linkedinbot",
    "slackbot",
    "slack-imgproxy",
    "telegrambot",
    "whatsapp/",
    "discordbot",
    "skypeuripreview",
    "pinterestbot",
    "pinterest/0.",
    "redditbot",
    "vkshare",
    "viber/",
    "kakaotalk-scrap",
    "dingtalkbot",
    "larkbot",
    "feishubot",
    "mastodon/",
    "bluesky cardyb",
    "embedly",
    "iframely",
    "microsoft teams",
    "snap url preview",
    "google-read-aloud",
    "bitlybot",
    "tumblr/",
];

/// Whether a user agent declares itself to be one.
pub fn is_preview(user_agent: &str) -> bool {
    let lower = user_agent.to_ascii_lowercase();
    AGENTS.iter().any(|agent| lower.contains(agent))
}

/// A page that shows what the link is about, and leads on whoever opens it after all. All texts are escaped.
pub fn page(title: &str, description: &str, image: Option<&str>, link: &str) -> String {
    let (title, description) = (escape(title), escape(description));
    let image = image.map(|url| format!("<meta property=\"og:image\" content=\"{}\">", escape(url)));
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title}</title><meta property=\"og:title\" content=\"{title}\">\
         <meta property=\"og:description\" content=\"{description}\">\
         <meta name=\"twitter:card\" content=\"summary\">{}</head>\
         <body><p><a href=\"{}\" rel=\"nofollow noreferrer\">{title}</a></p></body></html>\n",
        image.unwrap_or_default(),
        escape(link),
    )
}

/// Fit for text and for attributes in double quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previewers_are_known_and_people_are_not() {
        for agent in [
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 \
             Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "Twitterbot/1.0",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0 A",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        ] {
            assert!(is_preview(agent), "{agent}");
        }
        for agent in [
            "",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN",
            "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36 \
             [FBAN/FB4A;FBAV/470.0]",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Safari Line/14.8.0",
            "Googlebot/2.1 (+http://www.google.com/bot.html)",
        ] {
            assert!(!is_preview(agent), "{agent}");
        }
    }

    #[test]
    fn a_title_is_text() {
        let page = page(
            "<script>alert('1')</script>",
            "a \"b\" & c",
            Some("https://i.example/x.png?a=1&b=2"),
            "/c/x",
        );
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("content=\"a &quot;b&quot; &amp; c\""), "{page}");
        assert!(page.contains("content=\"https://i.example/x.png?a=1&amp;b=2\""), "{page}");
    }
}
