//! A real disk that is too small.

use crate::control_plane::ControlPlane;
use crate::node::{World, until};
use edge::spool::{SpoolConfig, SpoolError};
use edge::{Config, EdgeHandle};
use prost::Message;
use proto_model::{Address, Lane};
use proto_wire::edge_v1::{Event, Sidecar, SidecarEntry};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bytes that each hit takes, at least.
const HIT: usize = 3000;

/// A file system in memory below a directory, if this process may mount one.
struct SmallDisk(PathBuf);

/// `CAP_SYS_ADMIN`, which root has, but not in every container.
fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    rights
        .and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok())
        .is_some_and(|it| (it >> 21) & 1 == 1)
}

impl SmallDisk {
    fn mount(dir: &Path, mebibytes: usize) -> Option<Self> {
        if !may_mount() {
            eprintln!("skipped: mounting a small disk takes the rights of root");
            return None;
        }
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir);
        let output = mount.output().unwrap();
        assert!(output.status.success(), "no small disk: {}", String::from_utf8_lossy(&output.stderr));
        Some(Self(dir.to_path_buf()))
    }

    /// Takes all space.
    fn fill(&self) {
        assert!(fs::write(self.filler(), vec![0u8; 64 << 20]).is_err());
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn config(world: &World) -> Config {
    let spool = SpoolConfig { segment_bytes: 1 << 20, ..SpoolConfig::default() };
    Config { spool, ..world.config() }
}

/// So often in a row a hit must be refused: while a batch is sealed, its events stand on the disk twice.
const REFUSALS: usize = 30;

/// Hits that do not compress, until there is no room for them; those that were answered are remembered.
async fn spool_until_full(world: &mut World, node: &EdgeHandle, lane: Lane) -> usize {
    let local = node.parts().spool.local();
    let mut random = 88_172_645_463_325_252u64;
    let (mut count, mut refused) = (0, 0);
    while refused < REFUSALS {
        let words = std::iter::repeat_with(|| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_be_bytes()
        });
        let value: Vec<u8> = words.flatten().take(HIT).collect();
        let tag = u32::try_from(world.expected.len()).unwrap() + 1;
        let place = |address: Address, out: &mut Vec<u8>| {
            let event = Event { ordinal: address.ordinal, tenant: tag, ..Event::default() };
            let entry =
                SidecarEntry { ordinal: address.ordinal, personal_class: 1, salt: vec![1; 16], value };
            event.encode(out).ok()?;
            Sidecar { entries: vec![entry] }.encode(out).ok()?;
            Some(event.encoded_len())
        };
        let answered = match local.append(lane, place) {
            Ok((address, durable)) => durable.await.ok().map(|()| address),
            Err(_) => None,
        };
        let Some(address) = answered else {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        (count, refused) = (count + 1, 0);
        world.expected.insert((lane.code(), address.ordinal), tag);
    }
    count
}

#[tokio::test]
async fn a_node_that_has_filled_its_disk_drains_whatever_happens_to_it_meanwhile() {
    fills_and_drains(24).await;
}

/// There the reserve is half of it.
#[tokio::test]
async fn so_does_one_whose_disk_is_tiny() {
    fills_and_drains(8).await;
}

async fn fills_and_drains(mebibytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), mebibytes) else { return };
    let mut world = World::at(dir, ControlPlane::new()).await;
    let node = edge::start(config(&world)).await.unwrap();
    world.spool_some(&node, 5).await;
    world.all_arrived().await;

    // An outage.
    world.listener = None;
    world.control.hang_up();
    until("the node notices", || !node.parts().forward.progress().connected).await;
    let clicks = spool_until_full(&mut world, &node, Lane::Traffic).await;
    let conversions = spool_until_full(&mut world, &node, Lane::Money).await;
    let quarter = (mebibytes << 20) / 4 / HIT;
    assert!(clicks > quarter && conversions > clicks / 5, "{clicks} {conversions}");

    // Killed.
    drop(node);
    let node = edge::start(config(&world)).await.unwrap();
    assert_eq!(node.parts().spool.status().absent, None, "there is room for the copy");

    // Killed, while somebody else takes the rest.
    drop(node);
    disk.fill();
    let node = edge::start(config(&world)).await.unwrap();
    let spool = node.parts().spool.clone();
    assert!(spool.status().absent.is_some());
    assert_eq!(spool.local().append(Lane::Money, |_, _| None).err(), Some(SpoolError::Absent));
    disk.free();
    until("the spool is open", || spool.status().absent.is_none()).await;

    world.listener = Some(world.control.listen().await);
    world.all_arrived().await;
    // Room enough again.
    until("it takes clicks", || spool.status().has_room()).await;
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    node.shutdown().await;
    drop(disk);
}
