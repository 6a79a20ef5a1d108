//! The bytes of the requests. They are made beforehand and patched, so that the generator stays cheap.

use http::Uri;
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands in a URL for a number that no two requests share.
pub const NUMBER: &str = "{n}";
const NUMBER_LEN: usize = 16;
const ADDRESS_LEN: usize = 15;

/// Shoppers come with some dozens of common user agents; a single one would flatter every cache.
const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
];

struct Template {
    bytes: Vec<u8>,
    number: Option<usize>,
    address: Option<usize>,
}

pub struct Requests {
    templates: Vec<Template>,
    next: u64,
}

impl Requests {
    /// With `forwarded`, each request says in `X-Forwarded-For` that it comes from another address.
    pub fn new(url: &Uri, forwarded: bool) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Microseconds have sixteen digits until the year 2286, and a run sends fewer than one in each: so a
        // later run does not repeat the numbers of an earlier one.
        let next = u64::try_from(since.as_micros()).unwrap_or_default();
        Self { templates: AGENTS.iter().map(|agent| Template::new(url, agent, forwarded)).collect(), next }
    }

    /// Puts the next request into `out`, in the place of what is there.
    pub fn next(&mut self, out: &mut Vec<u8>) {
        self.next += 1;
        let count = self.templates.len() as u64;
        let Some(template) = self.templates.get_mut((self.next % count) as usize) else { return };
        if let Some(at) = template.number {
            patch(&mut template.bytes, at, &format!("{:0NUMBER_LEN$}", self.next));
        }
        if let Some(at) = template.address {
            patch(&mut template.bytes, at, &address(self.next));
        }
        out.clear();
        out.extend_from_slice(&template.bytes);
    }
}

fn patch(bytes: &mut [u8], at: usize, text: &str) {
    if let Some(place) = bytes.get_mut(at..at + text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
}

/// Scattered over 156^4 addresses, all of the same length as text.
fn address(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let octet = |shift: u32| 100 + (mixed >> shift & 0xffff) % 156;
    format!("{}.{}.{}.{}", octet(48), octet(32), octet(16), octet(0))
}

impl Template {
    fn new(url: &Uri, agent: &str, forwarded: bool) -> Self {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let path = path.replacen(NUMBER, &"0".repeat(NUMBER_LEN), 1);
        let number = url.path_and_query().and_then(|path| path.as_str().find(NUMBER)).map(|at| at + 4);
        let mut text = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\naccept: text/html,*/*;q=0.8\r\n\
             referer: https://review.example/best-robots\r\n"
        );
        let mut place = None;
        if forwarded {
            text += "x-forwarded-for: ";
            place = Some(text.len());
            text += &" ".repeat(ADDRESS_LEN);
            text += "\r\n";
        }
        text += "\r\n";
        Self { bytes: text.into_bytes(), number, address: place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_addresses_differ_and_nothing_else_moves() {
        let url: Uri = "http://127.0.0.1:1/p/adv_1.gif?order_id={n}&amount=1".parse().unwrap();
        let mut requests = Requests::new(&url, true);
        let (mut request, mut seen, mut addresses) = (Vec::new(), HashSet::new(), HashSet::new());
        for _ in 0..1000 {
            requests.next(&mut request);
            let text = String::from_utf8(request.clone()).unwrap();
            let (number, rest) = text
                .strip_prefix("GET /p/adv_1.gif?order_id=")
                .and_then(|rest| rest.split_once("&amount=1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\nuser-agent: "))
                .unwrap();
            assert!(number.len() == NUMBER_LEN && number.parse::<u64>().is_ok(), "{number}");
            seen.insert(number.to_owned());
            let (_, from) = rest.split_once("x-forwarded-for: ").unwrap();
            let from: std::net::Ipv4Addr = from.strip_suffix("\r\n\r\n").unwrap().parse().unwrap();
            addresses.insert(from);
        }
        assert_eq!(seen.len(), 1000);
        assert!(addresses.len() > 990);
    }

    #[test]
    fn a_plain_address_is_asked_for_as_it_stands() {
        let mut request = Vec::new();
        Requests::new(&"http://localhost/c/x?y=1".parse().unwrap(), false).next(&mut request);
        let text = String::from_utf8(request).unwrap();
        assert!(
            text.starts_with("GET /c/x?y=1 HTTP/1.1\r\nhost: localhost\r\n") && text.ends_with("\r\n\r\n")
        );
        assert!(!text.contains("forwarded"));
    }
}
