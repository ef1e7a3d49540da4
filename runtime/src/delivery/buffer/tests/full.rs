//! A disk that is full for real: a small tmpfs. Where none may be mounted, the disk in memory stands in for it.

use std::process::Command;

use super::whole::{Whole, beside, on_disk};
use super::*;

/// Bytes of the disk.
const SIZE: u64 = 256 << 10;

/// A file system that is gone when this is.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Fails, and says why, where that is not allowed: it takes root.
    fn mount() -> Result<Tmpfs, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let size = format!("size={SIZE}");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &size, "sump-test"]).arg(folder.path()).output();
        match done {
            Ok(done) if done.status.success() => Ok(Tmpfs(folder)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_really_full_loses_nothing_and_is_gone_on_from() {
    let (mounted, faulty) = (Tmpfs::mount(), Faulty::default());
    let disk: Arc<dyn Disk> = match &mounted {
        Ok(tmpfs) => Arc::new(Directory::new(tmpfs.0.path().join("buffer"))),
        Err(why) => {
            tracing::warn!(why, "no tmpfs may be mounted: the disk in memory is full instead");
            locked(&faulty.faults).space = Some(SIZE);
            Arc::new(faulty.clone())
        }
    };
    // The bound is beyond the disk, which is full first.
    let mut whole = Whole::over(disk.clone(), on_disk(4 * SIZE));
    beside(&mut whole, async |whole| {
        while whole.buffer.trouble().is_none() {
            assert!(whole.next < 100_000, "the disk takes more than it has");
            whole.push(500).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!whole.is_final() && whole.metrics.buffered.get() > 0);
        let mut events = Vec::new();
        while (events.len() as u64) < whole.next {
            events.extend(whole.pop().await);
            faulty.heal();
        }
        assert_eq!(events, (0..whole.next).collect::<Vec<_>>());
        assert!(whole.is_final() && whole.buffer.trouble().is_none());
    })
    .await;
    drop(whole);
    let next = Whole::over(disk, on_disk(4 * SIZE));
    assert_eq!((next.metrics.recovered.get(), next.metrics.buffer_lost.get()), (0, 0));
}
