use super::irql::{Range, from_annotations, from_docs};
use super::*;

fn range(min: u8, max: u8) -> Option<Range> {
    Some(Range { min, max })
}

#[test]
fn the_documentations_spellings() {
    for (text, wanted) in [
        ("PASSIVE_LEVEL", range(0, 0)),
        ("<= DISPATCH_LEVEL (see Remarks section)", range(0, 2)),
        ("<=(APC_LEVEL)", range(0, 1)),
        ("< DISPATCH_LEVEL", range(0, 1)),
        ("IRQL >= DISPATCH_LEVEL", range(2, 15)),
        ("Greater than or equal to DISPATCH_LEVEL", range(2, 15)),
        ("Called at IRQL <= APC_LEVEL.", range(0, 1)),
        ("_IRQL_requires_max_(DISPATCH_LEVEL)", range(0, 2)),
        ("DPC_LEVEL", range(2, 2)),
        ("IRQL == PASSIVE_LEVEL", range(0, 0)),
        ("<= DIRQL (see Comments section)", range(0, 12)),
        ("DIRQL", range(3, 12)),
        ("Any level (see Remarks)", range(0, 15)),
        ("Any", range(0, 15)),
        ("See Remarks section.", None),
        ("(See Remarks section.)", None),
        ("Not applicable", None),
        (
            "<= APC_LEVEL or <= DISPATCH_LEVEL (See Remarks section)",
            None,
        ),
        (
            "Any level if a GUID is passed in, otherwise PASSIVE_LEVEL.",
            None,
        ),
    ] {
        assert_eq!(from_docs(text), wanted, "{text}");
    }
}

#[test]
fn the_headers_annotations() {
    let read = |list: &[&str]| from_annotations(list.iter().copied());
    assert_eq!(
        read(&["_IRQL_requires_max_ 2", "_IRQL_raises_ 2"]),
        range(0, 2)
    );
    assert_eq!(read(&["_IRQL_requires_min_ 2"]), range(2, 15));
    assert_eq!(read(&["_IRQL_requires_ 2"]), range(2, 2));
    assert_eq!(read(&["_IRQL_requires_max_ 14 -1"]), range(0, 13));
    assert_eq!(read(&["_IRQL_requires_max_ 2 + 1"]), range(0, 3));
    assert_eq!(read(&["_IRQL_requires_max_ DPC_LEVEL"]), range(0, 2));
    assert_eq!(read(&["_IRQL_requires_same_", "t", " "]), None);
}

#[test]
fn the_stricter_of_two_statements() {
    let of = |a: (u8, u8), b: (u8, u8)| {
        let (a, b) = (Range { min: a.0, max: a.1 }, Range { min: b.0, max: b.1 });
        assert_eq!(a.stricter(b), b.stricter(a));
        a.stricter(b)
    };
    assert_eq!(of((0, 2), (0, 1)), Range { min: 0, max: 1 });
    assert_eq!(of((0, 2), (2, 15)), Range { min: 2, max: 2 });
    assert_eq!(of((0, 0), (2, 2)), Range { min: 0, max: 0 });
}

#[test]
fn facts_reach_the_tables() {
    let f = function("KeAcquireSpinLockRaiseToDpc").expect("it is documented");
    assert_eq!(
        (f.widths, f.irql, f.source),
        (Some(&[8_u8][..]), range(0, 2), Source::Both)
    );
    let f = function("KeReleaseSpinLock").expect("it is documented");
    assert_eq!((f.widths, f.irql), (Some(&[8_u8, 1][..]), range(2, 2)));
    assert_eq!(
        function("KeSetTargetProcessorDpc").and_then(|f| f.widths),
        Some(&[8_u8, 1][..])
    );
    let f = function("KeReleaseSpinLockFromDpcLevel").expect("it is documented");
    assert_eq!((f.irql, f.source), (range(2, 15), Source::Curated));
    assert!(function("NtMakeCoffee").is_none());
    assert!(
        FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name),
        "searched by halving"
    );
    for f in FUNCTIONS.iter().filter(|f| f.source == Source::Curated) {
        assert!(!f.evidence.is_empty(), "{}", f.name);
    }
}

#[test]
fn layouts_and_constants_are_those_of_64_bit_windows() {
    assert_eq!(
        (
            KDPC::SIZE,
            KDPC::DeferredRoutine.offset,
            KDPC::DeferredRoutine.size
        ),
        (64, 24, 8)
    );
    assert_eq!(UNICODE_STRING::Buffer.offset, 8);
    assert_eq!(enums::POOL_TYPE::NonPagedPoolNx, 512);
    assert_eq!(enums::KDPC_IMPORTANCE::HighImportance, 2);
    assert_eq!(constants::DISPATCH_LEVEL, 2);
}

#[test]
fn fields_are_read_and_written_in_place() {
    let mut memory = [u64::MAX; 2];
    let base = memory.as_mut_ptr() as usize;
    let field = Field {
        offset: 2,
        size: 2,
        bit: 0,
        bits: 0,
    };
    field.set(base, 0xabcd_1234);
    assert_eq!(
        (field.get(base), memory[0]),
        (0x1234, 0xffff_ffff_1234_ffff)
    );
    let bits = Field {
        offset: 8,
        size: 2,
        bit: 3,
        bits: 7,
    };
    bits.set(base, 0x2a | 0x80);
    assert_eq!((bits.get(base), memory[1]), (0x2a, 0xffff_ffff_ffff_fd57));
    let whole = Field {
        offset: 8,
        size: 8,
        bit: 0,
        bits: 64,
    };
    whole.set(base, 5);
    assert_eq!((whole.get(base), memory[1]), (5, 5));
}
