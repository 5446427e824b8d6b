use super::super::parameters::MAX_UNMAP;
use super::*;

impl Parameters for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }

    fn copy(&self, offset: usize, to: &mut [u8]) -> bool {
        let from = self.get(offset..offset + to.len());
        from.map(|from| to.copy_from_slice(from)).is_some()
    }
}

fn with(unit: &Unit<'_>, cdb: &[u8], data: &[u8]) -> Result<Plan, Sense> {
    let mut reply = Reply::EMPTY;
    decode(cdb).and_then(|command| plan(&command, unit, None, &data.to_vec(), &mut reply))
}

/// UNMAP with a list that says how long it is.
fn list(extents: &[(u64, u32)]) -> Vec<u8> {
    let len = extents.len() as u16 * 16;
    let mut data = Vec::new();
    data.extend((len + 6).to_be_bytes());
    data.extend(len.to_be_bytes());
    data.extend([0; 4]);
    for (lba, blocks) in extents {
        data.extend(lba.to_be_bytes());
        data.extend(blocks.to_be_bytes());
        data.extend([0; 4]);
    }
    data
}

fn unmap_cdb(len: usize) -> [u8; 10] {
    let [high, low] = (len as u16).to_be_bytes();
    [0x42, 0, 0, 0, 0, 0, 0, high, low, 0]
}

fn unmap_on(unit: &Unit<'_>, extents: &[(u64, u32)]) -> Result<Plan, Sense> {
    let data = list(extents);
    with(unit, &unmap_cdb(data.len()), &data)
}

fn unmap(extents: &[(u64, u32)]) -> Result<Plan, Sense> {
    unmap_on(&unit(), extents)
}

#[test]
fn a_list_is_taken_whole() {
    let Ok(Plan::Unmap { count }) = unmap(&[(0, 8), (100, 0), (GIB / 512 - 1, 1)]) else {
        panic!()
    };
    assert_eq!(count, 3);
    let extents = [0, 1, 2].map(|index| {
        unmap_extent(&list(&[(7, 8), (9, 10)]), index).map(|extent| (extent.lba, extent.blocks))
    });
    assert_eq!(extents, [Some((7, 8)), Some((9, 10)), None]);
}

#[test]
fn nothing_to_give_up_is_no_error() {
    assert!(matches!(unmap(&[]), Ok(Plan::Taken)));
    assert!(matches!(unmap(&[(5, 0), (6, 0)]), Ok(Plan::Taken)));
    assert!(matches!(with(&unit(), &unmap_cdb(0), &[]), Ok(Plan::Taken)));
}

#[test]
fn each_extent_has_to_lie_on_the_disk() {
    let end = GIB / 512;
    for extents in [
        &[(end, 1)][..],
        &[(end - 1, 2)],
        &[(0, 8), (u64::MAX, 1)],
        &[(u64::MAX, u32::MAX)],
        &[(end + 1, 0)],
    ] {
        assert_eq!(unmap(extents).unwrap_err(), Sense::LBA_OUT_OF_RANGE);
    }
    assert!(matches!(unmap(&[(end, 0)]), Ok(Plan::Taken)));
}

#[test]
fn more_than_the_limits_page_says_is_refused() {
    let page = reply(&[0x12, 1, 0xb0, 0, 64, 0]);
    let long = |at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap());
    assert_eq!((long(20), long(24), long(28)), (4000, MAX_UNMAP, 8));
    assert_eq!(page[32], 0x80);
    assert!(matches!(unmap(&[(0, 4000)]), Ok(Plan::Unmap { .. })));
    assert_eq!(unmap(&[(0, 4001)]), refused());
    assert_eq!(unmap(&[(0, 4000), (0, 1)]), refused());
    let most = vec![(0, 1); MAX_UNMAP as usize];
    assert!(matches!(unmap(&most), Ok(Plan::Unmap { .. })));
    assert_eq!(unmap(&[most, vec![(0, 1)]].concat()), refused());
}

/// A sum that does not fit 32 bits, on a device that takes everything.
#[test]
fn sums_do_not_wrap() {
    let config = Config {
        discard: Some(RangeLimits {
            blocks: u32::MAX,
            segments: 32,
            alignment: 1,
        }),
        ..CONFIG
    };
    let unit = Unit {
        config: &config,
        blocks: u64::MAX >> 1,
        ..unit()
    };
    assert!(unmap_on(&unit, &[(0, u32::MAX)]).is_ok());
    assert_eq!(unmap_on(&unit, &[(0, u32::MAX), (0, 1)]), refused());
    assert_eq!(unmap_on(&unit, &[(0, u32::MAX); 3]), refused());
}

fn refused() -> Result<Plan, Sense> {
    Err(Sense::INVALID_PARAMETER)
}

#[test]
fn lists_that_contradict_themselves() {
    let whole = list(&[(0, 8), (16, 8)]);
    for len in 1..8 {
        assert_eq!(
            with(&unit(), &unmap_cdb(len), &whole).unwrap_err(),
            Sense::PARAMETER_LIST_LENGTH
        );
    }
    // Fewer bytes than the list says, in the command or in the buffer: the whole descriptors are done.
    for (said, given) in [(24, 40), (39, 40), (40, 24), (40, 39)] {
        let plan = with(&unit(), &unmap_cdb(said), &whole[..given]);
        assert!(matches!(plan, Ok(Plan::Unmap { count: 1 })), "{plan:?}");
    }
    // The anchor bit.
    let mut cdb = unmap_cdb(whole.len());
    cdb[1] = 1;
    assert_eq!(
        with(&unit(), &cdb, &whole).unwrap_err(),
        Sense::INVALID_FIELD
    );
}

#[test]
fn disks_that_cannot_give_up_blocks() {
    let plain = Unit {
        config: &PLAIN,
        ..unit()
    };
    assert_eq!(
        unmap_on(&plain, &[(0, 1)]).unwrap_err(),
        Sense::INVALID_OPCODE
    );
    let read_only = Unit {
        read_only: true,
        ..unit()
    };
    assert_eq!(
        unmap_on(&read_only, &[]).unwrap_err(),
        Sense::WRITE_PROTECTED
    );
    let capacity = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let managed = |unit: &Unit<'_>| reply_on(unit, &capacity)[14];
    let page = reply_on(&plain, &[0x12, 1, 0xb2, 0, 64, 0]);
    assert_eq!(page, [0, 0xb2, 0, 4, 0, 0, 0, 0]);
    assert_eq!((managed(&plain), managed(&unit())), (0, 0x80));
    // One way to give blocks up is enough.
    let zeroes = Config {
        discard: None,
        ..CONFIG
    };
    let zeroes = Unit {
        config: &zeroes,
        ..unit()
    };
    let page = reply_on(&zeroes, &[0x12, 1, 0xb2, 0, 64, 0]);
    assert_eq!((page[5], page[6], managed(&zeroes)), (0x60, 0, 0x80));
    let page = reply(&[0x12, 1, 0xb2, 0, 64, 0]);
    assert_eq!(page, [0, 0xb2, 0, 4, 0, 0xe0, 2, 0]);
    let page = reply_on(&plain, &[0x12, 1, 0xb0, 0, 64, 0]);
    assert_eq!(page[20..36], [0; 16]);
}

#[test]
fn the_granularity_is_the_device_s_or_a_page() {
    for (block_size, alignment, granularity, kind) in [
        (512, 0, 8, 1),
        (512, 1, 8, 2),
        (512, 64, 64, 2),
        (4096, 0, 1, 1),
        (4096, 1, 1, 2),
        (4096, 16, 16, 2),
    ] {
        let config = Config {
            block_size,
            discard: Some(RangeLimits {
                blocks: 1000,
                segments: 4,
                alignment,
            }),
            ..CONFIG
        };
        let unit = Unit {
            config: &config,
            ..unit()
        };
        let limits = reply_on(&unit, &[0x12, 1, 0xb0, 0, 64, 0]);
        assert_eq!(limits[28..32], u32::to_be_bytes(granularity));
        let provisioning = reply_on(&unit, &[0x12, 1, 0xb2, 0, 64, 0]);
        assert_eq!((provisioning[5], provisioning[6]), (0xe0, kind));
    }
}

fn same_cdb(flags: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = cdb16(0x93, lba, blocks);
    cdb[1] = flags;
    cdb
}

#[test]
fn zeroes_are_written_by_the_device_where_it_can() {
    let zero = [0; 512];
    for (flags, may) in [(0, false), (8, true), (9, true), (1, false)] {
        let Ok(Plan::Zero { span, unmap }) = with(&unit(), &same_cdb(flags, 10, 5), &zero) else {
            panic!("{flags}")
        };
        assert_eq!((span.sector, span.blocks, unmap), (10, 5, may));
    }
    let ten = [0x41, 8, 0, 0, 0, 10, 0, 0, 5, 0];
    assert!(matches!(
        with(&unit(), &ten, &zero),
        Ok(Plan::Zero { unmap: true, .. })
    ));
    // A device that never gives blocks up says so, and takes no such wish.
    let config = Config {
        zeroes_unmap: false,
        ..CONFIG
    };
    let keeps = Unit {
        config: &config,
        ..unit()
    };
    for cdb in [&ten[..], &same_cdb(8, 10, 5), &same_cdb(9, 10, 5)] {
        assert_eq!(with(&keeps, cdb, &zero), Err(Sense::INVALID_FIELD));
    }
    let page = reply_on(&keeps, &[0x12, 1, 0xb2, 0, 64, 0]);
    assert_eq!(page[5], 0x80);
}

#[test]
fn anything_else_is_written_as_data() {
    for at in [0, 63, 64, 511] {
        let mut data = [0; 512];
        data[at] = 1;
        assert!(matches!(
            with(&unit(), &same_cdb(8, 10, 5), &data),
            Ok(Plan::Repeat(Span {
                sector: 10,
                blocks: 5
            }))
        ));
    }
    let plain = Unit {
        config: &PLAIN,
        ..unit()
    };
    let block = [0; 4096];
    assert!(matches!(
        with(&plain, &same_cdb(0, 10, 5), &block),
        Ok(Plan::Repeat(Span {
            sector: 80,
            blocks: 5
        }))
    ));
    // Half a block of data, or none where there is nothing to write zeroes with.
    assert_eq!(
        with(&plain, &same_cdb(0, 0, 1), &block[..2048]),
        Err(Sense::INVALID_FIELD)
    );
    assert_eq!(
        with(&plain, &same_cdb(1, 0, 1), &[]),
        Err(Sense::INVALID_FIELD)
    );
}

#[test]
fn write_same_has_limits_and_flags() {
    let zero = [0; 512];
    let sense = |cdb: &[u8]| with(&unit(), cdb, &zero).unwrap_err();
    // No blocks (all, to some), too many, beyond the end; protection, anchor, obsolete bits; NDOB in the ten-byte form.
    assert_eq!(sense(&same_cdb(0, 0, 0)), Sense::INVALID_FIELD);
    assert_eq!(sense(&same_cdb(0, 0, 131_073)), Sense::INVALID_FIELD);
    assert_eq!(sense(&same_cdb(0, GIB / 512, 1)), Sense::LBA_OUT_OF_RANGE);
    for flags in [0x20, 0x10, 4, 2] {
        assert_eq!(sense(&same_cdb(flags, 0, 1)), Sense::INVALID_FIELD);
    }
    assert_eq!(
        sense(&[0x41, 1, 0, 0, 0, 0, 0, 0, 1, 0]),
        Sense::INVALID_FIELD
    );
    let page = reply(&[0x12, 1, 0xb0, 0, 64, 0]);
    assert_eq!(page[4], 1);
    assert_eq!(page[36..44], 131_072u64.to_be_bytes());
    let read_only = Unit {
        read_only: true,
        ..unit()
    };
    assert_eq!(
        with(&read_only, &same_cdb(0, 0, 1), &zero),
        Err(Sense::WRITE_PROTECTED)
    );
}

#[test]
fn verify_reads_and_compares_nothing() {
    for (cdb, blocks) in [
        (vec![0x2f, 0x10, 0, 0, 0, 9, 0, 0, 7, 0], 7),
        (vec![0xaf, 0, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0], 7),
        (cdb16(0x8f, 9, 1 << 20).to_vec(), 1 << 20),
    ] {
        let Ok(Plan::Verify(span)) = run_on(&unit(), &cdb) else {
            panic!("{cdb:x?}")
        };
        assert_eq!((span.sector, span.blocks), (9, blocks));
    }
    assert!(matches!(
        run_on(&unit(), &cdb16(0x8f, 9, 0)),
        Ok(Plan::Done)
    ));
    for flags in [0x20, 2, 4, 6] {
        let mut cdb = cdb16(0x8f, 0, 1);
        cdb[1] = flags;
        assert_eq!(sense(&cdb), Sense::INVALID_FIELD);
    }
    assert_eq!(sense(&cdb16(0x8f, GIB / 512, 1)), Sense::LBA_OUT_OF_RANGE);
}

/// MODE SELECT of what MODE SENSE returned, changed.
fn select(
    unit: &Unit<'_>,
    ten: bool,
    descriptor: bool,
    change: impl Fn(&mut [u8]),
) -> Result<Plan, Sense> {
    let dbd = if descriptor { 0 } else { 8 };
    let (sense, header) = if ten {
        (vec![0x5a, dbd, 8, 0, 0, 0, 0, 0, 255, 0], 8)
    } else {
        (vec![0x1a, dbd, 8, 0, 255, 0], 4)
    };
    let mut data = reply_on(unit, &sense);
    // The length and the device-specific parameter are reserved here.
    data[..if ten { 4 } else { 3 }].fill(0);
    let page = header + if descriptor { 8 } else { 0 };
    change(&mut data[page..]);
    let len = data.len() as u8;
    let select = if ten {
        vec![0x55, 0x10, 0, 0, 0, 0, 0, 0, len, 0]
    } else {
        vec![0x15, 0x10, 0, 0, len, 0]
    };
    with(unit, &select, &data)
}

#[test]
fn the_write_cache_can_be_switched() {
    for (ten, descriptor) in [(false, false), (false, true), (true, false), (true, true)] {
        let off = select(&unit(), ten, descriptor, |page| page[2] = 0);
        assert!(matches!(off, Ok(Plan::SetCache(false))), "{off:?}");
        let same = select(&unit(), ten, descriptor, |_| ());
        assert!(matches!(same, Ok(Plan::Taken)), "{same:?}");
        let through = Unit {
            write_cache: false,
            ..unit()
        };
        let on = select(&through, ten, descriptor, |page| page[2] = 4);
        assert!(matches!(on, Ok(Plan::SetCache(true))), "{on:?}");
    }
}

#[test]
fn nothing_else_can_be_changed() {
    for at in 1..20 {
        for bit in 0..8 {
            if (at, bit) == (2, 2) {
                continue;
            }
            let plan = select(&unit(), false, true, |page| page[at] ^= 1 << bit);
            assert_eq!(plan, refused(), "byte {at} bit {bit}");
        }
    }
    for code in [0x0a, 0x01] {
        let plan = select(&unit(), false, true, |page| page[0] = code);
        assert_eq!(plan, refused());
    }
    let fixed = Unit {
        config: &PLAIN,
        ..unit()
    };
    assert_eq!(select(&fixed, false, true, |page| page[2] = 0), refused());
    assert!(matches!(
        select(&fixed, true, true, |_| ()),
        Ok(Plan::Taken)
    ));
}

/// Both pages as they are, one of them without PS; then each bit of the control page changed, and its end missing.
#[test]
fn the_control_page_stays_as_it_is() {
    let mut data = reply(&[0x1a, 8, 0x3f, 0, 255, 0]);
    data[..3].fill(0);
    const CONTROL: usize = 4 + 20;
    data[CONTROL] |= 0x80;
    let len = data.len() as u8;
    let at = |len: u8, data: &[u8]| with(&unit(), &[0x15, 0x10, 0, 0, len, 0], data);
    assert!(matches!(at(len, &data), Ok(Plan::Taken)));
    data[6] ^= 4;
    assert!(matches!(at(len, &data), Ok(Plan::SetCache(false))));
    for byte in CONTROL + 1..data.len() {
        for bit in 0..8 {
            data[byte] ^= 1 << bit;
            assert_eq!(at(len, &data), refused(), "byte {byte} bit {bit}");
            data[byte] ^= 1 << bit;
        }
    }
    for short in CONTROL as u8 + 1..len {
        assert_eq!(at(short, &data), Err(Sense::PARAMETER_LIST_LENGTH));
    }
}

#[test]
fn mode_lists_that_contradict_themselves() {
    let whole = [
        0, 0, 0, 0, 8, 18, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let at = |len: u8, data: &[u8]| with(&unit(), &[0x15, 0x10, 0, 0, len, 0], data);
    assert!(matches!(at(0, &[]), Ok(Plan::Taken)));
    assert!(matches!(at(24, &whole), Ok(Plan::Taken)));
    for len in 1..24 {
        let plan = at(len, &whole);
        if len == 4 {
            assert!(matches!(plan, Ok(Plan::Taken)));
        } else {
            assert_eq!(plan, Err(Sense::PARAMETER_LIST_LENGTH), "{len}");
        }
    }
    let mut odd = whole;
    odd[3] = 4;
    assert_eq!(at(24, &odd), refused());
    // Save pages, and pages of the vendor's own.
    for flags in [0x11, 0x00, 0x01] {
        assert_eq!(
            with(&unit(), &[0x15, flags, 0, 0, 24, 0], &whole),
            Err(Sense::INVALID_FIELD)
        );
    }
}

#[test]
fn log_pages() {
    let cdb = |page: u8| [0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0, 255, 0];
    assert_eq!(reply(&cdb(0)), [0, 0, 0, 2, 0, 0x11]);
    assert!(matches!(run_on(&unit(), &cdb(0x11)), Ok(Plan::Lifetime)));
    let plain = Unit {
        config: &PLAIN,
        ..unit()
    };
    assert_eq!(reply_on(&plain, &cdb(0)), [0, 0, 0, 1, 0]);
    for page in 1..0x40 {
        assert_eq!(run_on(&plain, &cdb(page)), Err(Sense::INVALID_FIELD));
        if page != 0x11 {
            assert_eq!(sense(&cdb(page)), Sense::INVALID_FIELD);
        }
    }
    let lifetime = |a: u16, b: u16| {
        use virtio_core::spec::blk::Lifetime;
        let lifetime = Lifetime {
            pre_eol_info: 1.into(),
            device_lifetime_est_typ_a: a.into(),
            device_lifetime_est_typ_b: b.into(),
        };
        let mut reply = Reply::EMPTY;
        wear(&lifetime, &mut reply);
        reply.bytes().to_vec()
    };
    assert_eq!(lifetime(3, 7), [0x11, 0, 0, 8, 0, 1, 3, 4, 0, 0, 0, 70]);
    for (a, b, percent) in [(0, 0, 0), (10, 1, 100), (11, 0, 110), (0xffff, 0, 110)] {
        assert_eq!(lifetime(a, b)[11], percent);
    }
}
