//! The PROXY protocol, version 2: who a load balancer speaks for.
//!
//! It is read where the operator said so and from trusted peers only. Guessing whether a connection begins
//! with a header would let everybody say who they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const PRELUDE: usize = 16;
/// Two IPv6 addresses with ports take 36 bytes; the rest is room for what balancers like to add.
const MAX_REST: usize = 2048;

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the connection does not begin with a PROXY v2 header (is `proxy_protocol` meant to be on?)")]
    Missing,
    #[error("a PROXY header of a kind that does not exist")]
    Unknown,
    #[error("a PROXY header of {0} bytes, which is more than any balancer needs")]
    TooLong(usize),
    #[error("a PROXY header that ends within its addresses")]
    TooShort,
    #[error("the connection ended within its PROXY header")]
    Io(#[from] std::io::Error),
}

/// The first sixteen bytes: what follows, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prelude {
    command: Command,
    family: u8,
    rest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// The balancer speaks for itself, to see whether we are there.
    Local,
    Proxy,
}

fn prelude(bytes: &[u8; PRELUDE]) -> Result<Prelude, ProxyError> {
    let [.., kind, family, high, low] = *bytes;
    if !bytes.starts_with(SIGNATURE) {
        return Err(ProxyError::Missing);
    }
    let command = match kind {
        0x20 => Command::Local,
        0x21 => Command::Proxy,
        _ => return Err(ProxyError::Unknown),
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > MAX_REST {
        return Err(ProxyError::TooLong(rest));
    }
    Ok(Prelude { command, family, rest })
}

/// The client, or `None` when the balancer does not say: then it is the balancer itself.
fn source(prelude: Prelude, rest: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    if prelude.command == Command::Local {
        return Ok(None);
    }
    // Source and destination address, both ports. What comes after them is not for us.
    match (prelude.family >> 4, prelude.family & 0x0f) {
        (_, 3..) | (4.., _) => Err(ProxyError::Unknown),
        (1, _) => {
            let address: [u8; 4] = first(rest, 12)?;
            Ok(Some(IpAddr::V4(Ipv4Addr::from(address))))
        }
        (2, _) => {
            let address: [u8; 16] = first(rest, 36)?;
            Ok(Some(crate::ip::canonical(IpAddr::V6(Ipv6Addr::from(address)))))
        }
        _ => Ok(None),
    }
}

/// The first `N` of at least `least` bytes.
fn first<const N: usize>(rest: &[u8], least: usize) -> Result<[u8; N], ProxyError> {
    let whole = rest.get(..least).and_then(<[u8]>::first_chunk);
    whole.copied().ok_or(ProxyError::TooShort)
}

/// Reads exactly the header: what follows belongs to TLS or HTTP. The caller limits the time.
pub async fn read<T: AsyncRead + Unpin>(stream: &mut T) -> Result<Option<IpAddr>, ProxyError> {
    let mut bytes = [0; PRELUDE];
    // Whoever speaks something else is told so at its first byte, not when sixteen have come.
    for at in 0..PRELUDE {
        let (read, rest) = bytes.split_at_mut(at);
        if !SIGNATURE.starts_with(&read[..at.min(SIGNATURE.len())]) {
            return Err(ProxyError::Missing);
        }
        if at >= SIGNATURE.len() {
            stream.read_exact(rest).await?;
            break;
        }
        stream.read_exact(&mut rest[..1]).await?;
    }
    let prelude = prelude(&bytes)?;
    let mut rest = vec![0; prelude.rest];
    stream.read_exact(&mut rest).await?;
    source(prelude, &rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::block_on;
    use proptest::prelude::*;

    fn header(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([kind, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn read_all(bytes: &[u8]) -> (Result<Option<IpAddr>, ProxyError>, usize) {
        let mut left = bytes;
        let outcome = block_on(read(&mut left));
        (outcome, left.len())
    }

    fn v6(text: &str) -> Vec<u8> {
        let source: Ipv6Addr = text.parse().unwrap();
        [&source.octets()[..], &[0; 20]].concat()
    }

    #[test]
    fn says_who_the_client_is() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb];
        let with_more = [&v4[..], &[3, 0, 2, 7, 7]].concat();
        let cases: &[(Vec<u8>, Option<&str>)] = &[
            (header(0x21, 0x11, &v4), Some("203.0.113.9")),
            (header(0x21, 0x11, &with_more), Some("203.0.113.9")),
            (header(0x21, 0x12, &v4), Some("203.0.113.9")),
            (header(0x21, 0x21, &v6("2001:db8::7")), Some("2001:db8::7")),
            (header(0x21, 0x21, &v6("::ffff:203.0.113.9")), Some("203.0.113.9")),
            (header(0x21, 0x31, &[0; 216]), None),
            (header(0x21, 0x00, &[]), None),
            (header(0x20, 0x11, &v4), None),
            (header(0x20, 0x00, &[]), None),
        ];
        for (bytes, expected) in cases {
            let followed = [bytes, &b"GET /"[..]].concat();
            let (outcome, left) = read_all(&followed);
            assert_eq!(outcome.unwrap(), expected.map(|text| text.parse().unwrap()), "{bytes:?}");
            assert_eq!(left, 5, "what follows is left alone");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let cases: &[(Vec<u8>, &str)] = &[
            (b"GET /c/x HTTP/1.1\r\n".to_vec(), "does not begin"),
            (b"G".to_vec(), "does not begin"),
            (b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n".to_vec(), "does not begin"),
            (b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c".to_vec(), "does not begin"),
            (header(0x22, 0x11, &[0; 12]), "does not exist"),
            (header(0x11, 0x11, &[0; 12]), "does not exist"),
            (header(0x21, 0x41, &[0; 12]), "does not exist"),
            (header(0x21, 0x13, &[0; 12]), "does not exist"),
            (header(0x21, 0x11, &[0; 11]), "within its addresses"),
            (header(0x21, 0x21, &[0; 35]), "within its addresses"),
            (header(0x21, 0x11, &[0; 65535]), "65535 bytes"),
            (header(0x20, 0x00, &[0; 2049]), "2049 bytes"),
            (header(0x21, 0x11, &[0; 12])[..20].to_vec(), "ended"),
            (Vec::new(), "ended"),
        ];
        for (bytes, expected) in cases {
            let error = read_all(bytes).0.unwrap_err().to_string();
            assert!(error.contains(expected), "{bytes:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            kind: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..400,
        ) {
            let mut bytes = header(kind, family, &rest);
            bytes.truncate(cut);
            let _ = read_all(&bytes);
        }
    }
}
