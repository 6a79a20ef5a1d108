//! First packets of QUIC made by hand (RFC 9000, 17.2.2 and RFC 9001, 5.2): with any transport parameters, any token,
//! and as many as an attacker wants.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Keys, Suite, Version};
use std::sync::Arc;

/// The smallest datagram that a server answers a first packet in.
const DATAGRAM: usize = 1200;
const TAG: usize = 16;
pub const SOURCE_ID: &[u8] = b"attacker";
/// The parameter that repeats the client's own id; without it no hello is whole.
pub const INITIAL_SOURCE_ID: u8 = 0x0f;

/// A client that begins and goes no further.
pub struct Initials {
    suite: Suite,
    config: Arc<ClientConfig>,
}

impl Default for Initials {
    fn default() -> Self {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // A hello with a larger share does not fit into one datagram.
        provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
        let suites = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
        let aes = suites.filter(|suite| suite.common.suite == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let suite = aes.filter_map(|suite| suite.quic_suite()).next().expect("what every QUIC begins with");
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3");
        let roots = rustls::RootCertStore::empty();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h3".to_vec()];
        Self { suite, config: Arc::new(config) }
    }
}

impl Initials {
    pub fn hello(&self, parameters: &[u8]) -> Vec<u8> {
        let name = ServerName::try_from("localhost").expect("a name");
        let config = Arc::clone(&self.config);
        let client = ClientConnection::new(config, Version::V1, name, parameters.to_vec());
        let mut hello = Vec::new();
        client.expect("a client").write_hs(&mut hello);
        hello
    }

    /// A whole first packet to a connection id of the attacker's choice.
    pub fn packet(&self, id: &[u8], token: &[u8], hello: &[u8]) -> Vec<u8> {
        let mut header = vec![0xc3, 0, 0, 0, 1];
        for id in [id, SOURCE_ID] {
            header.push(u8::try_from(id.len()).expect("short"));
            header.extend(id);
        }
        header.extend(two_bytes(token.len()));
        header.extend(token);
        // CRYPTO from offset 0, then padding.
        let mut payload = [&[6, 0], &two_bytes(hello.len())[..], hello].concat();
        let fixed = header.len() + 2 + 4;
        payload.resize(payload.len().max(DATAGRAM - fixed - TAG), 0);
        header.extend(two_bytes(4 + payload.len() + TAG));
        let number_at = header.len();
        header.extend([0; 4]);
        let keys = Keys::initial(Version::V1, self.suite.suite, self.suite.quic, id, rustls::Side::Client);
        let tag = keys.local.packet.encrypt_in_place(0, &header, &mut payload).expect("encrypted");
        let mut packet = [&header[..], &payload, tag.as_ref()].concat();
        let (head, rest) = packet.split_at_mut(number_at);
        let (number, sample) = rest.split_at_mut(4);
        keys.local.header.encrypt_in_place(&sample[..TAG], &mut head[0], number).expect("protected");
        packet
    }
}

/// A number in QUIC's form of two bytes.
fn two_bytes(number: usize) -> [u8; 2] {
    let number = u16::try_from(number).expect("short");
    assert!(number < 0x4000, "two bytes hold 14 bits");
    (number | 0x4000).to_be_bytes()
}

/// A transport parameter with a short number and value.
pub fn parameter(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number, u8::try_from(value.len()).expect("short")], value].concat()
}
