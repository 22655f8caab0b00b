//! A disk that is full, and one that cannot be written: a small tmpfs.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use super::*;
use crate::told::told;

/// A small disk, or `None` where none can be mounted.
struct Disk(Folder);

impl Disk {
    fn mounted(name: &str) -> Option<Self> {
        let folder = Folder::new(name);
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "sandtower"])
            .arg(&folder.0)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("left out: no tmpfs can be mounted: {why}");
                None
            }
            Err(error) => {
                eprintln!("left out: no tmpfs can be mounted: {error}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let mut command = Command::new("mount");
        let status = command.args(["-o", &format!("remount,{how}")]).arg(&self.0.0).status();
        assert!(status.unwrap().success());
    }

    /// Fills what is left, but for so many bytes.
    fn fill(&self, but: usize) {
        let mut filler =
            OpenOptions::new().create(true).append(true).open(self.0.0.join("filler")).unwrap();
        while filler.write_all(&[7; 512]).is_ok() {}
        let length = filler.metadata().unwrap().len().saturating_sub(but as u64);
        filler.set_len(length).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[test]
fn a_disk_that_is_full_and_has_room_again_counts_each_attempt_once() {
    let Some(disk) = Disk::mounted("full") else { return };
    let path = disk.0.file();
    let (limit, other) = (stored(&path), stored(&path));
    let (mut all, mut failed) = (0, 0);
    // From no room at all to room for a part of an exchange.
    for (round, but) in (0..12).map(|round| (round, round * 2_048)) {
        send(&limit, 10);
        limit.sync();
        disk.fill(but);
        let told = told(["kind"], || {
            for _ in 0..40 {
                send(&limit, 1);
                limit.sync();
                send(&other, 1);
                other.sync();
            }
        });
        failed += told.iter().filter(|[kind]| !kind.is_empty()).count();
        disk.empty();
        all += 10 + 80;
        for _ in 0..2 {
            limit.sync();
            other.sync();
        }
        assert_eq!((count(&limit), count(&other)), (all, all), "round {round}");
        assert_eq!(found(&path), all, "round {round}");
    }
    println!("{failed} times the disk was full, {all} sent and counted");
    assert!(failed > 0, "the disk was never full");
}

#[test]
fn a_full_disk_at_the_start_is_logged_and_forgotten_when_there_is_room() {
    let Some(disk) = Disk::mounted("full-start") else { return };
    disk.fill(0);
    let told = told(["level", "message"], || {
        let limit = stored(&disk.0.file());
        for _ in 0..5 {
            send(&limit, 1);
            limit.sync();
        }
        disk.empty();
        limit.sync();
        limit.close().unwrap();
    });
    let unavailable = ["WARN", "rate limit store unavailable, counting in memory"];
    assert_eq!(told.first().unwrap(), &unavailable);
    assert_eq!(told.last().unwrap(), &["INFO", "rate limit store recovered"]);
    assert_eq!((told.len(), found(&disk.0.file())), (2, 5));
}

#[test]
fn a_disk_that_cannot_be_written_is_logged_once() {
    let Some(disk) = Disk::mounted("read-only") else { return };
    send(&stored(&disk.0.file()), 7);
    disk.remount("ro");
    let told = told(["level", "kind", "message"], || {
        let limit = stored(&disk.0.file());
        for _ in 0..5 {
            send(&limit, 1);
            limit.sync();
        }
        disk.remount("rw");
        limit.sync();
        assert_eq!(count(&limit), 12);
        limit.close().unwrap();
    });
    let unavailable = "rate limit store unavailable, counting in memory";
    let expected = [["WARN", "read_only", unavailable], ["INFO", "", "rate limit store recovered"]];
    assert_eq!(told, expected);
    assert_eq!(found(&disk.0.file()), 12);
}
