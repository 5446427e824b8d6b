//! What several tests need: a package, and a Windows in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fake_windows::{Windows, hives, pe};

use crate::bcd::Partition;
use crate::package::{Certificate, Pack, Package, Service};
use crate::plan::{Consent, Plan};
use crate::refusal::Refusal;
use crate::registry::Edit;
use crate::registry::Value;
use crate::trust::Trust;
use crate::windows::{BootStore, BootStores, Machine, Tree};

/// A boot-start storage driver.
pub fn package(machine: Machine, trust: Trust) -> Package {
    Package {
        name: "toyblk".to_owned(),
        machine,
        inf: "toyblk.inf".to_owned(),
        class: [7; 16],
        hardware_ids: vec![
            r"PCI\VEN_1AF4&DEV_1001".to_owned(),
            r"PCI\VEN_1AF4&DEV_1042".to_owned(),
        ],
        service: Service {
            name: "toyblk".to_owned(),
            kind: 1,
            start: 0,
            error_control: 1,
            group: "SCSI miniport".to_owned(),
            binary: "toyblk.sys".to_owned(),
            values: vec![(
                "Parameters".to_owned(),
                "BusType".to_owned(),
                Value::Dword(1),
            )],
        },
        trust,
        files: vec![
            ("toyblk.inf".to_owned(), b"[Version]".to_vec()),
            ("toyblk.sys".to_owned(), pe::program(machine.0)),
            ("toyblk.cat".to_owned(), b"catalog".to_vec()),
        ],
        driver: "toyblk.sys".to_owned(),
    }
}

/// A pack with that driver for x64, with a certificate.
pub fn pack(trust: Trust) -> Pack {
    Pack {
        packages: vec![package(Machine::AMD64, trust)],
        certificates: vec![Certificate {
            name: "root.cer".to_owned(),
            der: b"certificate".to_vec(),
            root: true,
        }],
    }
}

/// A Windows in a folder. Boot stores: `None` for a WIM, otherwise the files `BCD-0`, `BCD-1`… in the folder.
pub struct Folder {
    pub root: PathBuf,
    pub stores: Option<usize>,
    pub elsewhere: Vec<Partition>,
}

impl Folder {
    pub fn new(root: &Path, windows: &Windows, stores: Option<&[Option<bool>]>) -> Folder {
        windows.write(root).unwrap();
        for (number, testsigning) in stores.unwrap_or_default().iter().enumerate() {
            fs::write(root.join(format!("BCD-{number}")), hives::bcd(*testsigning)).unwrap();
        }
        Folder {
            root: root.to_owned(),
            stores: stores.map(<[_]>::len),
            elsewhere: Vec::new(),
        }
    }
}

impl Tree for Folder {
    fn name(&self) -> String {
        "folder".to_owned()
    }

    fn system_root(&self) -> String {
        "Windows".to_owned()
    }

    fn fetch(&mut self, path: &str, to: &Path) -> Result<bool> {
        let path = self.root.join(path);
        if !path.is_file() {
            return Ok(false);
        }
        fs::copy(path, to)?;
        Ok(true)
    }

    fn boot_stores(&mut self, scratch: &Path) -> Result<Option<BootStores>> {
        let Some(count) = self.stores else {
            return Ok(None);
        };
        let mut stores = Vec::new();
        for number in 0..count {
            let path = format!("BCD-{number}");
            let local = scratch.join(&path);
            self.fetch(&path, &local)?;
            stores.push(BootStore {
                device: String::new(),
                path,
                local,
            });
        }
        if stores.is_empty() {
            return Err(Refusal::NoBcd("BCD-0".to_owned()).into());
        }
        Ok(Some(BootStores {
            stores,
            elsewhere: self.elsewhere.clone(),
        }))
    }
}

/// No consent.
pub const NOTHING: Consent = Consent {
    enable_testsigning: false,
    accept_test_signed: false,
    accept_attestation_on_server: false,
    allow_older: false,
};

/// A folder with a Windows, and plans for it.
pub struct Case {
    dir: tempfile::TempDir,
    pub tree: Folder,
    runs: u32,
}

impl Case {
    pub fn new(windows: &Windows, stores: Option<&[Option<bool>]>) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let tree = Folder::new(&dir.path().join("volume"), windows, stores);
        Case { dir, tree, runs: 0 }
    }

    pub fn plan(&mut self, pack: &Pack, consent: Consent) -> anyhow::Result<Plan> {
        self.runs += 1;
        let scratch = self.dir.path().join(format!("scratch-{}", self.runs));
        fs::create_dir(&scratch).unwrap();
        Plan::make(&mut self.tree, pack, consent, &scratch)
    }

    pub fn refusal(&mut self, pack: &Pack, consent: Consent) -> Refusal {
        let error = self.plan(pack, consent).err().expect("a refusal");
        error.downcast().unwrap()
    }

    /// Carries a plan out in the folder.
    pub fn apply(&self, plan: &Plan) {
        plan.edit_hives().unwrap();
        for file in &plan.files {
            let to = self.tree.root.join(&file.path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file.local, to).unwrap();
        }
        for hive in &plan.hives {
            fs::copy(hive.hive.file(), self.tree.root.join(&hive.path)).unwrap();
        }
    }
}

/// The edits of one hive in a plan.
pub fn edits<'a>(plan: &'a Plan, hive: &str) -> &'a [Edit] {
    let hive = plan.hives.iter().find(|edits| edits.name == hive);
    hive.map_or(&[], |hive| &hive.edits)
}
