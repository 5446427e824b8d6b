use super::*;

const USUAL: Raw = Raw {
    capacity: 2048,
    size_max: Some(65536),
    seg_max: Some(126),
    blk_size: Some(512),
    topology: Some(Topology {
        physical_block_exp: 3,
        alignment_offset: 1,
        min_io_size: 8,
        opt_io_size: 64,
    }),
    num_queues: Some(4),
    discard: None,
    write_zeroes: None,
};

#[test]
fn a_usual_device_is_taken_as_it_is() {
    let config = Config::check(&USUAL).unwrap();
    assert_eq!(
        config,
        Config {
            block_size: 512,
            blocks: 2048,
            size_max: Some(65536),
            seg_max: Some(126),
            topology: USUAL.topology.unwrap(),
            queues: 4,
            discard: None,
            write_zeroes: None,
            zeroes_unmap: false,
            lifetime: false,
            cache_mode: false,
        }
    );
}

#[test]
fn fields_without_their_feature_have_defaults() {
    let config = Config::check(&Raw {
        capacity: u64::MAX,
        ..Raw::default()
    })
    .unwrap();
    assert_eq!(config.block_size, 512);
    assert_eq!(config.blocks, u64::MAX);
    assert_eq!(
        (config.size_max, config.seg_max, config.queues),
        (None, None, 1)
    );
}

#[test]
fn impossible_block_sizes_are_refused() {
    for size in [0u32, 1, 3, 256, 513, 1000, 8192, 1 << 20, u32::MAX] {
        let raw = Raw {
            blk_size: Some(size),
            ..USUAL
        };
        assert_eq!(Config::check(&raw), Err(Refusal::BlockSize(size)));
    }
    for size in [512u32, 1024, 2048, 4096] {
        let config = Config::check(&Raw {
            blk_size: Some(size),
            ..USUAL
        })
        .unwrap();
        assert_eq!(config.block_size, size);
        assert_eq!(config.sectors_per_block(), size / 512);
        assert_eq!(config.blocks, 2048 * 512 / u64::from(size));
    }
}

#[test]
fn limits_of_zero_mean_something_or_are_refused() {
    let check = |raw| Config::check(&raw);
    // No limit, as without the feature.
    let none = check(Raw {
        size_max: Some(0),
        ..USUAL
    });
    assert_eq!(none.unwrap().size_max, None);
    // One segment is the least that a device can mean.
    let one = check(Raw {
        seg_max: Some(0),
        ..USUAL
    });
    assert_eq!(one.unwrap().seg_max, Some(1));
    assert_eq!(
        check(Raw {
            num_queues: Some(0),
            ..USUAL
        }),
        Err(Refusal::QueueCount)
    );
}

#[test]
fn an_empty_disk_is_no_error() {
    let config = Config::check(&Raw {
        capacity: 0,
        ..USUAL
    })
    .unwrap();
    assert_eq!(config.blocks, 0);
}

#[test]
fn a_partial_last_block_is_left_out() {
    let config = Config::check(&Raw {
        capacity: 15,
        blk_size: Some(4096),
        ..USUAL
    })
    .unwrap();
    assert_eq!(config.blocks, 1);
}

#[test]
fn the_physical_block_exponent_fits_scsi() {
    let topology = Topology {
        physical_block_exp: 255,
        ..Topology::default()
    };
    let config = Config::check(&Raw {
        topology: Some(topology),
        ..USUAL
    })
    .unwrap();
    assert_eq!(config.topology.physical_block_exp, 15);
}

fn with_ranges(blk_size: u32, sectors: u32, segments: u32, extra: u32) -> Config {
    let ranges = Some(Ranges {
        sectors,
        segments,
        extra,
    });
    Config::check(&Raw {
        blk_size: Some(blk_size),
        discard: ranges,
        write_zeroes: ranges,
        ..USUAL
    })
    .unwrap()
}

#[test]
fn range_limits_are_in_whole_blocks() {
    let config = with_ranges(4096, 1007, 1000, 64);
    let limits = RangeLimits {
        blocks: 125,
        segments: MAX_RANGES,
        alignment: 8,
    };
    assert_eq!(config.discard, Some(limits));
    assert_eq!(config.write_zeroes, Some(limits));
    assert!(config.zeroes_unmap);
}

#[test]
fn a_device_that_takes_no_ranges_is_sent_none() {
    for config in [
        with_ranges(512, 0, 1, 1),
        with_ranges(512, 1, 0, 1),
        with_ranges(4096, 7, 1, 1),
    ] {
        assert_eq!((config.discard, config.write_zeroes), (None, None));
    }
    // An alignment of less than a block is one of a block, as is that of nobody's choice; one of nothing is none.
    for (alignment, blocks) in [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (u32::MAX, 1)] {
        let limits = with_ranges(4096, 8, 1, alignment).discard.unwrap();
        assert_eq!(limits.alignment, blocks, "{alignment}");
    }
}

#[test]
fn the_cache_can_be_switched_only_where_it_can_be_emptied() {
    let config = Config::check(&USUAL).unwrap();
    assert!(!config.with_features(blk::F_CONFIG_WCE).cache_mode);
    assert!(!config.with_features(blk::F_FLUSH).cache_mode);
    let both = blk::F_CONFIG_WCE.union(blk::F_FLUSH);
    assert!(config.with_features(both).cache_mode);
}
