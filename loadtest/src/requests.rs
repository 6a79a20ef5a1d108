//! What is asked for, and who seems to ask. The bytes of HTTP/1.1 are made beforehand and patched, so that the
//! generator stays cheap.

use http::header::{ACCEPT, HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands in a URL for a number that no two requests share.
pub const NUMBER: &str = "{n}";
const NUMBER_LEN: usize = 16;
const ADDRESS_LEN: usize = 15;
const REGULARS: u64 = 256;
/// In a flood one request of so many is a regular's.
const REGULAR_EVERY: u64 = 10;
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
const ACCEPTED: &str = "text/html,*/*;q=0.8";
const FROM: &str = "https://review.example/best-robots";

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
/// Like a browser's, with a number that makes it one of its own.
const STRANGER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.{n} Safari/537.36";

/// Whom the requests claim to come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Crowd {
    /// Everything from where it comes.
    #[default]
    Direct,
    /// Each request has another client address in `X-Forwarded-For`, as through a proxy.
    Passing,
    /// The same 256 addresses again and again.
    Regulars,
    /// Nine of ten requests come from an address, and with a user agent, that is never seen again; the tenth is
    /// a regular's. Latency is the regulars' alone.
    Flood,
}

impl FromStr for Crowd {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "direct" => Ok(Self::Direct),
            "passing" => Ok(Self::Passing),
            "regulars" => Ok(Self::Regulars),
            "flood" => Ok(Self::Flood),
            _ => Err("direct, passing, regulars or flood"),
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Visit {
    number: u64,
    /// `None` = one that nobody else has.
    agent: Option<usize>,
    address: Option<u64>,
}

impl Visit {
    fn new(crowd: Crowd, number: u64) -> Self {
        let agent = Some((number % AGENTS.len() as u64) as usize);
        let regular = Some(number / REGULAR_EVERY % REGULARS);
        let (agent, address) = match crowd {
            Crowd::Direct => (agent, None),
            Crowd::Passing => (agent, Some(number)),
            Crowd::Regulars => (agent, regular),
            Crowd::Flood if number.is_multiple_of(REGULAR_EVERY) => (agent, regular),
            Crowd::Flood => (None, Some(number)),
        };
        Self { number, agent, address }
    }
}

pub struct Requests {
    url: Uri,
    crowd: Crowd,
    /// One for each of `AGENTS`, then the stranger's.
    templates: Vec<Template>,
    next: u64,
}

impl Requests {
    pub fn new(url: &Uri, crowd: Crowd) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Microseconds have sixteen digits until the year 2286, and a run sends fewer than one in each: so a
        // later run does not repeat the numbers of an earlier one.
        let next = u64::try_from(since.as_micros()).unwrap_or_default();
        let agents = AGENTS.iter().chain([&STRANGER]);
        let templates = agents.map(|agent| Template::new(url, agent, crowd != Crowd::Direct)).collect();
        Self { url: url.clone(), crowd, templates, next }
    }

    fn visit(&mut self) -> Visit {
        self.next += 1;
        Visit::new(self.crowd, self.next)
    }

    /// Puts the next request into `out`, in the place of what is there, and says whether its latency counts.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let visit = self.visit();
        let Some(template) = self.templates.get_mut(visit.agent.unwrap_or(AGENTS.len())) else { return true };
        template.fill(visit);
        out.clear();
        out.extend_from_slice(&template.bytes);
        visit.agent.is_some()
    }

    /// The same for a transport that writes heads itself.
    pub fn next_request(&mut self) -> Result<(Request<()>, bool), http::Error> {
        let visit = self.visit();
        let mut parts = self.url.clone().into_parts();
        let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        if path.contains(NUMBER) {
            let path = path.replacen(NUMBER, &digits(visit.number), 1);
            parts.path_and_query = Some(PathAndQuery::from_maybe_shared(path.into_bytes())?);
        }
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.headers_mut() = headers(visit)?;
        Ok((request, visit.agent.is_some()))
    }
}

fn headers(visit: Visit) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    headers.insert(REFERER, HeaderValue::from_static(FROM));
    let agent = visit.agent.and_then(|agent| AGENTS.get(agent));
    let agent = match agent {
        Some(agent) => HeaderValue::from_static(agent),
        None => HeaderValue::from_str(&STRANGER.replacen(NUMBER, &digits(visit.number), 1))?,
    };
    headers.insert(USER_AGENT, agent);
    if let Some(from) = visit.address {
        headers.insert(FORWARDED, HeaderValue::from_str(&address(from))?);
    }
    Ok(headers)
}

fn digits(number: u64) -> String {
    format!("{number:0NUMBER_LEN$}")
}

/// Scattered over 156^4 addresses, all of the same length as text.
fn address(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let octet = |shift: u32| 100 + (mixed >> shift & 0xffff) % 156;
    format!("{}.{}.{}.{}", octet(48), octet(32), octet(16), octet(0))
}

struct Template {
    bytes: Vec<u8>,
    /// Where the number stands, in the path and in the user agent.
    numbers: Vec<usize>,
    address: Option<usize>,
}

impl Template {
    fn new(url: &Uri, agent: &str, forwarded: bool) -> Self {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let mut text = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\naccept: {ACCEPTED}\r\nreferer: {FROM}\r\n"
        );
        let mut numbers = Vec::new();
        while let Some(at) = text.find(NUMBER) {
            numbers.push(at);
            text.replace_range(at..at + NUMBER.len(), &"0".repeat(NUMBER_LEN));
        }
        let mut address = None;
        if forwarded {
            text += &format!("{FORWARDED}: ");
            address = Some(text.len());
            text += &" ".repeat(ADDRESS_LEN);
            text += "\r\n";
        }
        text += "\r\n";
        Self { bytes: text.into_bytes(), numbers, address }
    }

    fn fill(&mut self, visit: Visit) {
        for at in &self.numbers {
            patch(&mut self.bytes, *at, &digits(visit.number));
        }
        if let (Some(at), Some(from)) = (self.address, visit.address) {
            patch(&mut self.bytes, at, &address(from));
        }
    }
}

fn patch(bytes: &mut [u8], at: usize, text: &str) {
    if let Some(place) = bytes.get_mut(at..at + text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_addresses_differ_and_nothing_else_moves() {
        let url: Uri = "http://127.0.0.1:1/p/adv_1.gif?order_id={n}&amount=1".parse().unwrap();
        let mut requests = Requests::new(&url, Crowd::Passing);
        let (mut request, mut seen, mut addresses) = (Vec::new(), HashSet::new(), HashSet::new());
        for _ in 0..1000 {
            assert!(requests.next(&mut request));
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
        Requests::new(&"http://localhost/c/x?y=1".parse().unwrap(), Crowd::Direct).next(&mut request);
        let text = String::from_utf8(request).unwrap();
        assert!(
            text.starts_with("GET /c/x?y=1 HTTP/1.1\r\nhost: localhost\r\n") && text.ends_with("\r\n\r\n")
        );
        assert!(!text.contains("forwarded"));
    }

    /// Address, user agent and whether it counts, of each of `count` requests.
    fn visitors(crowd: Crowd, count: usize) -> Vec<(String, String, bool)> {
        let mut requests = Requests::new(&"http://localhost/c/x?n={n}".parse().unwrap(), crowd);
        let of = |_| {
            let (request, counts) = requests.next_request().unwrap();
            let text = |name| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
            (text(FORWARDED), text(USER_AGENT), counts)
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn a_flood_is_of_strangers_and_one_in_ten_is_a_regular() {
        let seen = visitors(Crowd::Flood, 10_000);
        let (regulars, strangers): (Vec<_>, Vec<_>) = seen.into_iter().partition(|visitor| visitor.2);
        let different = |visitors: &[(String, String, bool)]| {
            let addresses: HashSet<_> = visitors.iter().map(|visitor| &visitor.0).collect();
            let agents: HashSet<_> = visitors.iter().map(|visitor| &visitor.1).collect();
            (addresses.len(), agents.len())
        };
        assert_eq!((regulars.len(), strangers.len()), (1_000, 9_000));
        assert_eq!(different(&regulars).0, 256);
        let (addresses, agents) = different(&strangers);
        assert!(addresses > 8_990 && agents == 9_000, "{addresses} {agents}");
        let always = visitors(Crowd::Regulars, 10_000);
        assert!(always.iter().all(|visitor| visitor.2));
        assert_eq!(different(&always), (256, 8));
    }

    #[test]
    fn every_transport_asks_for_the_same() {
        let url: Uri = "https://localhost:8443/c/x?n={n}&m=1".parse().unwrap();
        for crowd in ["direct", "passing", "regulars", "flood"].map(|name| name.parse::<Crowd>().unwrap()) {
            let mut requests = Requests::new(&url, crowd);
            for _ in 0..20 {
                let before = requests.next;
                let (request, counts) = requests.next_request().unwrap();
                requests.next = before;
                let mut bytes = Vec::new();
                assert_eq!(requests.next(&mut bytes), counts);
                let text = String::from_utf8(bytes).unwrap();
                let path = request.uri().path_and_query().unwrap();
                assert!(
                    text.starts_with(&format!("GET {path} HTTP/1.1\r\nhost: localhost:8443\r\n")),
                    "{text}"
                );
                for (name, value) in request.headers() {
                    assert!(text.contains(&format!("\r\n{name}: {}\r\n", value.to_str().unwrap())), "{text}");
                }
            }
        }
        assert!("crowd".parse::<Crowd>().is_err());
    }
}
