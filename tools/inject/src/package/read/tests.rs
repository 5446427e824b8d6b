//! Packs in folders and ISOs, made here.

use std::fs;
use std::path::Path;

use driver_catalog::Builder;
use fake_windows::pe;
use winpv_process::Run;

use super::guid_bytes;
use crate::package::Pack;
use crate::registry::Value;
use crate::trust::Trust;
use crate::windows::Machine;

const INF: &str = r#"[Version]
Signature="$WINDOWS NT$"
Class=SCSIAdapter
ClassGuid={4D36E97B-E325-11CE-BFC1-08002BE10318}
Provider=%P%
CatalogFile=toy.cat
DriverVer=01/01/2026,1.0.0.0
[Manufacturer]
%P%=Models,NTamd64.10.0...14393,NTamd64.10.0...16299
[Models.NTamd64.10.0...14393]
%P%=Old,PCI\VEN_1AF4&DEV_1001
[Models.NTamd64.10.0...16299]
%P%=New,PCI\VEN_1AF4&DEV_1001
%P%=New,PCI\VEN_1AF4&DEV_1042
[SourceDisksNames]
1=%P%
[SourceDisksFiles]
toy.sys=1
[Old.NT]
CopyFiles=Files
[Old.NT.Services]
AddService=toy,2,OldService
[New.NT]
CopyFiles=Files
[New.NT.Services]
AddService=other,0,Other
AddService=toy,0x00000002,NewService
[Files]
toy.sys
[OldService]
ServiceType=1
StartType=3
ErrorControl=1
ServiceBinary=%12%\toy.sys
[NewService]
ServiceType=1
StartType=0
ErrorControl=1
LoadOrderGroup="SCSI miniport"
ServiceBinary=%13%\toy.sys
AddReg=Registry
[Other]
ServiceType=1
StartType=3
ErrorControl=1
ServiceBinary=%13%\other.sys
[Registry]
HKR,"Parameters",BusType,0x00010001,10
HKR,"Parameters",Text,,%P%
[Strings]
P="Toy"
"#;

fn write(folder: &Path, inf: &str, driver: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    let inf = inf.replace('\n', "\r\n");
    let mut catalog = Builder::new("_v100_X64", 1_700_000_000).unwrap();
    catalog
        .file("toy.inf", inf.as_bytes())
        .and_then(|catalog| catalog.file("toy.sys", driver))
        .unwrap();
    fs::write(folder.join("toy.inf"), inf).unwrap();
    fs::write(folder.join("toy.sys"), driver).unwrap();
    fs::write(folder.join("toy.cat"), catalog.unsigned().unwrap()).unwrap();
}

#[test]
fn a_package_is_what_its_inf_says_for_the_newest_windows() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("drivers/toy/amd64"),
        INF,
        &pe::program(pe::AMD64),
    );
    let pack = Pack::read(dir.path()).unwrap();
    let [package] = pack.packages.as_slice() else {
        panic!("{} packages", pack.packages.len());
    };
    assert_eq!(
        (package.name.as_str(), package.machine),
        ("toy", Machine::AMD64)
    );
    assert_eq!(
        package.hardware_ids,
        [r"PCI\VEN_1AF4&DEV_1001", r"PCI\VEN_1AF4&DEV_1042"]
    );
    let service = &package.service;
    assert_eq!((service.name.as_str(), service.start), ("toy", 0));
    assert_eq!(
        (service.group.as_str(), service.binary.as_str()),
        ("SCSI miniport", "toy.sys")
    );
    let values = [
        ("BusType", Value::Dword(10)),
        ("Text", Value::String("Toy".to_owned())),
    ]
    .map(|(name, value)| ("Parameters".to_owned(), name.to_owned(), value));
    assert_eq!(service.values, values);
    assert_eq!(package.trust, Trust::Unsigned);
    let names: Vec<_> = package
        .files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["toy.inf", "toy.sys", "toy.cat"]);
}

/// MS: inf-version-section, CatalogFile.nt*; inf-sourcedisksfiles-section and -sourcedisksnames-section, subdir and path;
/// inf-copyfiles-directive, a source file with another name; names without regard to case.
#[test]
fn catalogs_and_files_lie_where_the_inf_says() {
    let dir = tempfile::tempdir().unwrap();
    for (number, decoration) in ["", ".nt", ".NTamd64"].into_iter().enumerate() {
        let folder = dir.path().join(number.to_string());
        let inf = INF
            .replace("CatalogFile=", &format!("CatalogFile.NTx86=none.cat\nCatalogFile{decoration}="))
            .replace("1=%P%", r"1=%P%,,,\Files")
            .replace("toy.sys=1", r"[SourceDisksFiles.amd64]\nbuilt.sys=1,x64\n[SourceDisksFiles]\nbuilt.sys=1\nNotes.txt=1\nnone.txt=1".replace(r"\n", "\n").as_str())
            .replace("[Files]\ntoy.sys\n", "[Files]\nTOY.sys,built.sys\n");
        let driver = pe::program(pe::AMD64);
        let bytes = inf.replace('\n', "\r\n");
        let mut catalog = Builder::new("_v100_X64", 1_700_000_000).unwrap();
        catalog
            .file("toy.inf", bytes.as_bytes())
            .and_then(|catalog| catalog.file("built.sys", &driver))
            .and_then(|catalog| catalog.file("notes.txt", b"notes"))
            .unwrap();
        fs::create_dir_all(folder.join("files/X64")).unwrap();
        fs::write(folder.join("toy.inf"), bytes).unwrap();
        fs::write(folder.join("files/X64/Built.sys"), &driver).unwrap();
        fs::write(folder.join("files/notes.txt"), "notes").unwrap();
        fs::write(folder.join("Toy.cat"), catalog.unsigned().unwrap()).unwrap();
        let pack = Pack::read(&folder).unwrap();
        let [package] = pack.packages.as_slice() else {
            panic!("{} packages", pack.packages.len());
        };
        let names = package.files.iter().map(|(name, _)| name.as_str());
        let wanted = [
            "toy.inf",
            "files/X64/Built.sys",
            "files/notes.txt",
            "toy.cat",
        ];
        assert_eq!(Vec::from_iter(names), wanted, "{decoration}");
        // Windows runs it under the name that it is copied to.
        assert_eq!(package.service.binary, "toy.sys");
        assert_eq!(package.driver(), driver);
    }
}

#[test]
fn packs_that_are_not_whole_are_refused() {
    let read = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), INF, &pe::program(pe::AMD64));
        prepare(dir.path());
        format!("{:#}", Pack::read(dir.path()).expect_err("an error"))
    };
    let error = read(&|dir| fs::remove_file(dir.join("toy.sys")).unwrap());
    assert!(error.contains("toy.sys is missing"), "{error}");
    let error = read(&|dir| fs::remove_file(dir.join("toy.cat")).unwrap());
    assert!(error.contains("toy.cat is missing"), "{error}");
    let error = read(&|dir| {
        let text = fs::read_to_string(dir.join("toy.inf")).unwrap();
        fs::write(dir.join("toy.inf"), text.replace("1.0.0.0", "1.0.0.1")).unwrap();
    });
    assert!(error.contains("toy.inf"), "{error}");
    let error = read(&|dir| write(dir, INF, &pe::program(pe::ARM64)));
    assert!(error.contains("not a driver for amd64"), "{error}");
    let error = read(&|dir| {
        let inf = INF
            .replace("1=%P%", "1=%P%,toy.cab")
            .replace("[Files]\n", "[Files]\npart.dll\n");
        write(dir, &inf, &pe::program(pe::AMD64));
    });
    assert!(
        error.contains("part.dll is missing") && error.contains("cabextract"),
        "{error}"
    );
    let error = read(&|dir| {
        let inf = INF.replace("toy.sys=1", r"toy.sys=1,..\other");
        write(dir, &inf, &pe::program(pe::AMD64));
    });
    assert!(error.contains("no path of a file"), "{error}");
    let error = read(&|dir| {
        let inf = INF.replace("[Files]\ntoy.sys\n", "[Files]\n");
        write(dir, &inf, &pe::program(pe::AMD64));
    });
    assert!(error.contains("not copied"), "{error}");
    let error = read(&|dir| {
        write(
            dir,
            &INF.replace("CatalogFile=toy.cat\n", ""),
            &pe::program(pe::AMD64),
        )
    });
    assert!(error.contains("no CatalogFile"), "{error}");
    let error = read(&|dir| write(&dir.join("second"), INF, &pe::program(pe::AMD64)));
    assert!(error.contains("two packages named toy"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = format!("{:#}", Pack::read(empty.path()).err().unwrap());
    assert!(error.contains("no driver package"), "{error}");
    let error = format!(
        "{:#}",
        Pack::read(&empty.path().join("none")).err().unwrap()
    );
    assert!(
        error.contains("no pack") && error.contains("--pack"),
        "{error}"
    );
}

#[test]
fn roots_and_signers_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("drivers"), INF, &pe::program(pe::AMD64));
    let cert = dir.path().join("cert");
    fs::create_dir(&cert).unwrap();
    let path = |name: &str| cert.join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        Run::new("openssl").args(arguments).ok().unwrap();
    };
    let key = ["-newkey", "rsa:2048", "-nodes", "-batch"];
    openssl(
        &[
            &["req", "-x509"],
            &key[..],
            &[
                "-subj",
                "/CN=Root",
                "-keyout",
                &path("ca.key"),
                "-out",
                &path("ca.pem"),
            ],
        ]
        .concat(),
    );
    openssl(
        &[
            &["req"],
            &key[..],
            &[
                "-subj",
                "/CN=Leaf",
                "-keyout",
                &path("leaf.key"),
                "-out",
                &path("leaf.csr"),
            ],
        ]
        .concat(),
    );
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path("leaf.csr"),
        "-CA",
        &path("ca.pem"),
        "-CAkey",
        &path("ca.key"),
        "-CAcreateserial",
        "-outform",
        "DER",
        "-out",
        &path("b-leaf.cer"),
    ]);
    openssl(&[
        "x509",
        "-in",
        &path("ca.pem"),
        "-outform",
        "DER",
        "-out",
        &path("a-root.cer"),
    ]);
    let pack = Pack::read(dir.path()).unwrap();
    let found: Vec<_> = pack
        .certificates
        .iter()
        .map(|certificate| (certificate.name.as_str(), certificate.root))
        .collect();
    assert_eq!(found, [("a-root.cer", true), ("b-leaf.cer", false)]);
}

#[test]
fn guids_are_stored_with_the_low_byte_first() {
    // What libguestfs-common writes for the class SCSIAdapter.
    let bytes = guid_bytes("{4D36E97B-E325-11CE-BFC1-08002BE10318}").unwrap();
    assert_eq!(
        bytes,
        [
            0x7b, 0xe9, 0x36, 0x4d, 0x25, 0xe3, 0xce, 0x11, 0xbf, 0xc1, 8, 0, 0x2b, 0xe1, 3, 0x18
        ]
    );
    for text in [
        "",
        "4D36E97B-E325-11CE-BFC1-08002BE10318",
        "{4D36E97B}",
        "{x}",
    ] {
        assert_eq!(guid_bytes(text), None, "{text}");
    }
}
