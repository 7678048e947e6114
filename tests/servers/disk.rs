//! A disk that is soon full.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{PATIENCE, Process, Unprivileged};

/// A file system in memory, of some megabytes, that can be filled and emptied. It ends with the test.
pub struct SmallDisk {
    // Before its folder, which can't be removed while it is mounted.
    _mount: Process,
    folder: TempDir,
}

/// Mounts it, and unmounts it when it is told to end.
const KEEPER: &str = r#"
mount -t tmpfs -o "size=$2,mode=0777" tests "$1" || exit
trap 'kill "$sleeper"; umount -l "$1"; exit' TERM
: >"$1/.ready"
sleep infinity &
sleeper=$!
wait
"#;

impl SmallDisk {
    /// Makes one of so many megabytes; nothing where this user may not mount.
    ///
    /// # Panics
    ///
    /// If there is no place for a temporary folder.
    pub fn new(megabytes: usize) -> Option<Self> {
        Unprivileged::if_root()?;
        let folder = TempDir::new().expect("a temporary folder");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(folder.path()).arg(format!("{megabytes}m"));
        let mut mount = Process::start(&keeper, "TERM", Path::new("/dev/null")).ok()?;
        let started = Instant::now();
        while !folder.path().join(".ready").exists() {
            if mount.has_ended() || started.elapsed() > PATIENCE {
                return None;
            }
            sleep(Duration::from_millis(5));
        }
        Some(Self { _mount: mount, folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the space that is left.
    ///
    /// # Panics
    ///
    /// If something else than a full disk ends that.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).expect("the disk can be written");
        let piece = vec![0xff; 1 << 20];
        let full = loop {
            if let Err(full) = filler.write_all(&piece) {
                break full;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    }

    /// Gives back the space that [`fill`](Self::fill) took.
    ///
    /// # Panics
    ///
    /// If it was not filled.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}
