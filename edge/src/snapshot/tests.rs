mod settings;

use super::*;
use crate::disk::RealDisk;
use proto_wire::edge_v1::{
    Advertiser, Chunk, ChunkRef, ClickKey, Link, LinkChunk, Manifest, Offer, Rule, RuleSet, TenantChunk,
    WatchResponse, chunk::Content,
};
use proto_wire::keys::SigningKey;
use proto_wire::manifest;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

const TENANT: u32 = 5;

fn settings() -> TenantChunk {
    TenantChunk {
        fallback_url: "https://network.example".into(),
        click_keys: vec![ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        advertisers: vec![Advertiser { id: 10, postback_token_sha256: vec![9; 32], ..Advertiser::default() }],
        offers: vec![Offer {
            id: 20,
            advertiser: 10,
            program: 15,
            destination: "https://shop.example/robots?a=1#top".into(),
            active: true,
            ..Offer::default()
        }],
        ..TenantChunk::default()
    }
}

fn link(id: u64) -> Link {
    Link { id, offer: 20, partner: 30, active: true, settings: None }
}

fn settings_chunk(tenant: u32, settings: TenantChunk) -> Chunk {
    Chunk { tenant, content: Some(Content::Settings(settings)) }
}

fn links_chunk(tenant: u32, ids: &[u64]) -> Chunk {
    let links = ids.iter().map(|id| link(*id)).collect();
    Chunk { tenant, content: Some(Content::Links(LinkChunk { links })) }
}

/// A manifest with the bytes of its chunks.
struct Published {
    version: u64,
    signed: WatchResponse,
    chunks: Vec<(ChunkRef, Vec<u8>)>,
}

fn published(control: &SigningKey, version: u64, chunks: &[Chunk]) -> Published {
    let encoded: Vec<(ChunkRef, Vec<u8>)> =
        chunks.iter().map(|chunk| manifest::encode_chunk(chunk).unwrap()).collect();
    let refs = encoded.iter().map(|(reference, _)| reference.clone()).collect();
    let manifest = Manifest { version, issued_at_micros: 5, chunks: refs };
    Published { version, signed: manifest::sign(control, &manifest), chunks: encoded }
}

fn changed(change: impl FnOnce(&mut TenantChunk)) -> Chunk {
    let mut settings = settings();
    change(&mut settings);
    settings_chunk(TENANT, settings)
}

#[test]
fn chunks_in_any_order_become_tables() {
    let mut chunks =
        [links_chunk(TENANT, &[40]), settings_chunk(TENANT, settings()), links_chunk(TENANT, &[41, 42])];
    for _ in 0..chunks.len() {
        chunks.rotate_left(1);
        let snapshot = Snapshot::from_chunks(3, &chunks).ok().unwrap();
        let tenant = TenantId::new(TENANT).unwrap();
        assert_eq!((snapshot.version, snapshot.links()), (3, 3));
        let offer = OfferId::new(20).unwrap();
        let partner = PartnerId::new(30).unwrap();
        let expected = LinkEntry { tenant, offer, partner, active: true, settings: None };
        assert_eq!(snapshot.link(LinkId::new(42).unwrap()), Some(&expected));
        assert_eq!(snapshot.link(LinkId::new(43).unwrap()), None);
        let offer = snapshot.offer(tenant, offer).unwrap();
        let url = offer.destination.with_click_id("X");
        assert_eq!(url, "https://shop.example/robots?a=1&click_id=X#top");
        assert_eq!(snapshot.advertiser(offer.advertiser).unwrap().postback_token_sha256, Some([9; 32]));
        let settings = snapshot.tenant(tenant).unwrap();
        assert_eq!(settings.fallback_url.as_deref(), Some("https://network.example/"));
        assert!(settings.rules.is_none());
    }
    assert_eq!(Snapshot::from_chunks(1, &[]).ok().unwrap().links(), 0);
}

#[test]
fn a_tenant_that_cannot_be_decided_for_refuses_the_snapshot() {
    let bad_rule = Rule { id: "x".into(), action: 9, nodes: vec![] };
    let bad_rules = RuleSet { version: 1, rules: vec![bad_rule], ..RuleSet::default() };
    let second_key = ClickKey { key_id: 2, key: vec![8; 32], active: true };
    let cases = [
        ("no tenant", links_chunk(0, &[])),
        ("does not know", Chunk { tenant: TENANT, content: None }),
        ("the click keys of tnt_0000005", changed(|s| s.click_keys.clear())),
        ("the click keys of tnt_0000005", changed(|s| s.click_keys.push(second_key))),
        ("the click keys of tnt_0000005", changed(|s| s.click_keys[0].key = vec![7; 31])),
        ("the rule set of tnt_0000005", changed(|s| s.rule_set = Some(bad_rules))),
    ];
    for (expected, chunk) in cases {
        let error = Snapshot::from_chunks(1, &[chunk]).err().unwrap().to_string();
        assert!(error.contains(expected), "{error} lacks `{expected}`");
    }
}

#[test]
fn a_single_bad_entry_is_left_out() {
    let mut bad = settings();
    bad.fallback_url = "javascript:alert(1)".into();
    bad.offers.push(Offer { id: 21, destination: "/a".into(), ..bad.offers[0].clone() });
    bad.advertisers.push(Advertiser::default());
    let bad_link = Link { id: 41, partner: 1 << 40, ..link(41) };
    let mine = Chunk {
        tenant: TENANT,
        content: Some(Content::Links(LinkChunk { links: vec![link(40), bad_link] })),
    };
    let chunks = [settings_chunk(TENANT, bad), mine, links_chunk(TENANT + 1, &[40])];
    let snapshot = Snapshot::from_chunks(1, &chunks).ok().unwrap();
    let tenant = TenantId::new(TENANT).unwrap();
    assert_eq!(snapshot.tenant(tenant).unwrap().fallback_url, None);
    assert!(snapshot.offer(tenant, OfferId::new(20).unwrap()).is_some());
    assert!(snapshot.offer(tenant, OfferId::new(21).unwrap()).is_none());
    assert_eq!(snapshot.links(), 1);
    assert_eq!(snapshot.link(LinkId::new(40).unwrap()).unwrap().tenant, tenant, "the first holder keeps it");
}

struct Disk {
    data: TempDir,
    control: SigningKey,
    store: SnapshotDisk,
}

impl Disk {
    fn new() -> Self {
        let data = tempdir().unwrap();
        let control = SigningKey::generate().unwrap();
        let store = open(data.path(), &control);
        Self { data, control, store }
    }

    /// Saves `version`, whose chunks are one shared with every version and one of its own.
    fn save(&self, version: u64) -> Published {
        let chunks = [settings_chunk(TENANT, settings()), links_chunk(TENANT, &[version])];
        let published = published(&self.control, version, &chunks);
        self.store_chunks(&published);
        self.store.store_manifest(version, &published.signed).unwrap();
        published
    }

    fn store_chunks(&self, published: &Published) {
        for (reference, bytes) in &published.chunks {
            self.store.store_chunk(reference, bytes).unwrap();
        }
    }

    fn last_good(&self) -> Option<u64> {
        let loaded = open(self.data.path(), &self.control).load().unwrap();
        loaded.map(|snapshot| snapshot.version)
    }

    fn manifest(&self, version: u64) -> PathBuf {
        self.data.path().join(format!("snapshot/manifest-{version:020}"))
    }

    fn chunk(&self, published: &Published, at: usize) -> PathBuf {
        let hex: String = published.chunks[at].0.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        self.data.path().join("snapshot/chunks").join(hex)
    }
}

fn open(data: &Path, control: &SigningKey) -> SnapshotDisk {
    SnapshotDisk::open(Arc::new(RealDisk), &data.join("snapshot"), control.public_key()).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn the_newest_sound_snapshot_is_found() {
    type Damage = fn(&Disk, &Published);
    let cases: [(&str, Damage, Option<u64>); 9] = [
        ("nothing", |_, _| {}, Some(8)),
        ("a torn manifest", |disk, _| cut(&disk.manifest(8)), Some(7)),
        ("an empty manifest", |disk, _| std::fs::write(disk.manifest(8), "").unwrap(), Some(7)),
        ("a changed manifest", |disk, _| flip(&disk.manifest(8), 9), Some(7)),
        (
            "a manifest under another version",
            |disk, _| {
                std::fs::copy(disk.manifest(7), disk.manifest(9)).unwrap();
            },
            Some(8),
        ),
        (
            "a manifest not yet renamed",
            |disk, _| {
                std::fs::rename(disk.manifest(8), disk.manifest(8).with_extension("tmp")).unwrap();
            },
            Some(7),
        ),
        ("a changed chunk", |disk, newest| flip(&disk.chunk(newest, 1), 3), Some(7)),
        ("a missing chunk", |disk, newest| std::fs::remove_file(disk.chunk(newest, 1)).unwrap(), Some(7)),
        ("a chunk that both need is cut", |disk, newest| cut(&disk.chunk(newest, 0)), None),
    ];
    for (case, damage, expected) in cases {
        let disk = Disk::new();
        assert_eq!(disk.last_good(), None);
        disk.save(7);
        let newest = disk.save(8);
        damage(&disk, &newest);
        assert_eq!(disk.last_good(), expected, "{case}");
    }
}

#[test]
fn a_snapshot_of_another_control_plane_is_not_used() {
    let disk = Disk::new();
    disk.save(1);
    let other = SigningKey::generate().unwrap();
    assert!(open(disk.data.path(), &other).load().unwrap().is_none());
}

#[test]
fn damaged_chunks_count_as_missing_and_are_mended() {
    let disk = Disk::new();
    let published = disk.save(1);
    let manifest = manifest::verify(&disk.control.public_key(), &published.signed).unwrap();
    assert!(disk.store.missing(&manifest).is_empty());
    flip(&disk.chunk(&published, 0), 0);
    assert_eq!(disk.store.missing(&manifest), &manifest.chunks[..1]);
    let (reference, bytes) = &published.chunks[0];
    assert!(disk.store.store_chunk(reference, &bytes[1..]).is_err(), "only what was named is stored");
    disk.store_chunks(&published);
    assert_eq!(disk.last_good(), Some(1));
}

#[test]
fn two_versions_are_kept() {
    let disk = Disk::new();
    let versions: Vec<Published> = (1..=4).map(|version| disk.save(version)).collect();
    cut(&disk.manifest(3));
    disk.store.collect().unwrap();
    for (published, kept) in versions.iter().zip([false, true, false, true]) {
        assert_eq!(disk.manifest(published.version).exists(), kept, "{}", published.version);
        assert_eq!(disk.chunk(published, 1).exists(), kept, "{}", published.version);
        assert!(disk.chunk(published, 0).exists(), "the shared chunk");
    }
    assert_eq!(disk.last_good(), Some(4));
}

#[test]
fn half_written_files_are_removed() {
    let disk = Disk::new();
    let leftovers = ["snapshot/manifest-1.tmp", "snapshot/chunks/abc.tmp"].map(|p| disk.data.path().join(p));
    for path in &leftovers {
        std::fs::write(path, "half").unwrap();
    }
    assert_eq!(disk.last_good(), None);
    disk.save(1);
    disk.store.collect().unwrap();
    assert!(leftovers.iter().all(|path| !path.exists()));
    assert_eq!(disk.last_good(), Some(1));
}
