//! Version parsing, the verdicts on real and made-up answers, and the choice of a package source.

use super::debian::{Plan, Simulation, decide};
use super::needs::{NEEDS, Number, Verdict};

fn need(program: &str) -> &'static super::Need {
    NEEDS.iter().find(|need| need.program == program).unwrap()
}

#[test]
fn versions_are_read_from_what_the_programs_print() {
    for (program, answer, expected) in [
        (
            "openssl",
            "OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)\n",
            [3, 0, 19],
        ),
        (
            "osslsigncode",
            "osslsigncode 2.9, using:\n\tOpenSSL 3.0.13 30 Jan 2024\n",
            [2, 9, 0],
        ),
        (
            "osslsigncode",
            "osslsigncode 2.5, using:\n\tOpenSSL 3.0.5 5 Jul 2022\n",
            [2, 5, 0],
        ),
        (
            "qemu-system-x86_64",
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n",
            [10, 0, 2],
        ),
        (
            "qemu-system-x86_64",
            "QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u16)\n",
            [7, 2, 19],
        ),
        (
            "qemu-img",
            "qemu-img version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u16)\n",
            [7, 2, 19],
        ),
        (
            "qemu-aarch64",
            "qemu-aarch64 version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u16)\n",
            [7, 2, 19],
        ),
    ] {
        assert_eq!(
            need(program).judge(answer),
            Verdict::Found(Number(expected)),
            "{answer}"
        );
    }
}

#[test]
fn older_programs_are_refused() {
    for (program, answer) in [
        ("openssl", "OpenSSL 1.1.1w  11 Sep 2023\n"),
        ("osslsigncode", "osslsigncode 2.1, using:\n"),
        (
            "qemu-system-x86_64",
            "QEMU emulator version 5.2.0 (Debian 1:5.2+dfsg-11+deb11u3)\n",
        ),
        ("qemu-system-x86_64", "QEMU emulator version 7.1.92\n"),
    ] {
        let verdict = need(program).judge(answer);
        assert!(
            matches!(verdict, Verdict::TooOld { .. }),
            "{answer}: {verdict:?}"
        );
        assert!(verdict.to_string().contains("too old"));
    }
}

#[test]
fn an_answer_without_a_version_is_no_version() {
    for answer in ["", "command failed", "QEMU emulator version unknown"] {
        assert!(
            matches!(need("qemu-img").judge(answer), Verdict::Unclear(_)),
            "{answer}"
        );
    }
}

#[test]
fn a_part_of_a_program_is_found_by_its_own_answer() {
    let engine = NEEDS
        .iter()
        .find(|need| need.package == "libengine-pkcs11-openssl")
        .unwrap();
    assert_eq!(engine.name(), "libengine-pkcs11-openssl");
    let missing = "80DB5527DB7F0000:error:12800067:DSO support routines:dlfcn_load:could not load the shared library: \
        filename(/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so)";
    assert!(matches!(engine.judge(missing), Verdict::Unclear(_)));
    assert!(matches!(
        engine.judge("(pkcs11) pkcs11 engine\n"),
        Verdict::Found(_)
    ));
}

#[test]
fn numbers_compare_as_numbers() {
    let number = |text| Number::parse(text).unwrap();
    assert!(number("10.0.2") > number("7.2.19"));
    assert!(number("2.10") > number("2.9"));
    assert_eq!(number("2.9~rc1"), number("2.9.0"));
    assert_eq!(Number::parse("x"), None);
    assert_eq!(Number::parse(""), None);
}

/// Three lines of `apt-cache policy` on a machine with backports.
const WITH_BACKPORTS: &str = " 100 http://deb.debian.org/debian bookworm-backports/main amd64 Packages
     release o=Debian Backports,a=oldstable-backports,n=bookworm-backports,l=Debian Backports,c=main,b=amd64
     origin deb.debian.org\n";

#[test]
fn backports_are_used_only_where_the_release_does_not_fit() {
    let packages = ["qemu-system-x86"];
    let plan = |simulation, known| decide(&packages, "bookworm-backports", simulation, known);

    let plain = plan(Simulation::Works, "");
    assert_eq!(
        plain,
        Plan {
            packages: vec!["qemu-system-x86".to_owned()],
            release: None,
            source: None
        }
    );
    assert_eq!(plain.shell().len(), 2);

    let known = plan(Simulation::Fails, WITH_BACKPORTS);
    assert_eq!(
        (known.release.as_deref(), known.source.as_deref()),
        (Some("bookworm-backports"), None)
    );

    let unknown = plan(Simulation::Fails, "n=bookworm,l=Debian");
    let line = "deb http://deb.debian.org/debian bookworm-backports main";
    assert_eq!(unknown.source.as_deref(), Some(line));
    let shell = unknown.shell();
    assert!(
        shell[0].contains(line) && shell[2].contains("-t bookworm-backports qemu-system-x86"),
        "{shell:?}"
    );
}
