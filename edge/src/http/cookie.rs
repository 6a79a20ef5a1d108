//! A click in a cookie of the edge's own, for pixels on pages that do not know its id. Off unless the offer says for how
//! many days, and never for whoever asks for privacy.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use proto_model::AdvertiserId;

/// Pixels and frames alone get to see it.
const PATH: &str = "/p/";
const DAY_SECS: u32 = 86_400;
/// A click id has 80 characters; browsers send no more than a few kilobytes of cookies.
const MAX_LEN: usize = 128;

fn name(advertiser: AdvertiserId) -> String {
    format!("click_{advertiser}")
}

/// The value of `Set-Cookie`. Within somebody else's page it belongs to that page's site alone.
pub fn set(headers: &HeaderMap, advertiser: AdvertiserId, click_id: &str, days: u32) -> Option<HeaderValue> {
    let (name, age) = (name(advertiser), days.saturating_mul(DAY_SECS));
    let partitioned = if is_embedded(headers) { "; Partitioned" } else { "" };
    let cookie = format!(
        "{name}={click_id}; Max-Age={age}; Path={PATH}; Secure; HttpOnly; SameSite=None{partitioned}"
    );
    HeaderValue::try_from(cookie).ok()
}

/// A browser says what it asks for: a page for its window is a `document`. One that says nothing is too old to know of
/// partitions.
fn is_embedded(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|dest| dest != "document")
}

/// The click id that was kept for this advertiser.
pub fn get(headers: &HeaderMap, advertiser: AdvertiserId) -> Option<&str> {
    if !headers.contains_key(COOKIE) {
        return None;
    }
    let wanted = name(advertiser);
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    (value.len() <= MAX_LEN).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn what_is_set_is_found_again() {
        let advertiser = AdvertiserId::new(7).unwrap();
        let cookie = set(&headers(&[]), advertiser, "abc", 30).unwrap();
        let cookie = cookie.to_str().unwrap();
        let expected = "=abc; Max-Age=2592000; Path=/p/; Secure; HttpOnly; SameSite=None";
        assert!(cookie.ends_with(expected), "{cookie}");
        let framed = set(&headers(&[("sec-fetch-dest", "iframe")]), advertiser, "abc", 30).unwrap();
        assert!(framed.to_str().unwrap().ends_with("; Partitioned"));
        let window = set(&headers(&[("sec-fetch-dest", "document")]), advertiser, "abc", 30).unwrap();
        assert_eq!(window.to_str().unwrap(), cookie);

        let kept = cookie.split(';').next().unwrap();
        let (other, long) = (format!("x={kept}"), format!("{}=", kept.split('=').next().unwrap()));
        let long = long + &"a".repeat(200);
        let cases: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&[kept], Some("abc")),
            (&["a=b", kept], Some("abc")),
            (&[&format!("a=b; {kept}; c")], Some("abc")),
            (&[&other], None),
            (&[&long], None),
        ];
        for (lines, expected) in cases {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            assert_eq!(get(&headers(&lines), advertiser), expected, "{lines:?}");
        }
        assert_eq!(get(&headers(&[("cookie", kept)]), AdvertiserId::new(8).unwrap()), None);
    }
}
