//! The record of the stock, and what the next process makes of it.

mod crash;
mod failing;
mod file;
mod killed;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sandtower_core::BoxError;
use sandtower_e2b::{CallId, Config as E2bConfig, SandboxId};
use sandtower_pool::{Life, MemoryStock, Step, Stock, Wall};

/// A stock that fails while its switch is on.
#[derive(Clone, Debug, Default)]
struct Switched {
    stock: MemoryStock,
    fails: Arc<AtomicBool>,
}

impl Switched {
    fn over(stock: &MemoryStock) -> Self {
        Self { stock: stock.clone(), fails: Arc::default() }
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), BoxError> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err("the disk is full".into()),
            false => Ok(()),
        }
    }
}

impl Stock for Switched {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        self.check().and_then(|()| self.stock.load())
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        self.check().and_then(|()| self.stock.record(steps))
    }

    fn close(&self) {
        self.stock.close();
    }
}

/// A folder that is gone with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sandtower-pool-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("pool")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const KEY: &str = "e2b_0000000000000000000000000000000000000000";

fn e2b(owner: &str) -> E2bConfig {
    E2bConfig::new(KEY).unwrap().owner(owner.parse().unwrap())
}

fn call(number: u64) -> CallId {
    format!("{number:032x}").parse().unwrap()
}

fn sandbox(number: u64) -> SandboxId {
    format!("i{number}").parse().unwrap()
}

const LIFE: Life = Life { created: Wall(1_000), ends_by: Wall(1_300) };
