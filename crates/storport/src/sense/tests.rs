//! Bytes of SPC-4 table 44 (fixed format) and table 28 (descriptor format).

use super::*;

#[test]
fn fixed_format_puts_each_part_where_spc_4_says() {
    let bytes = Sense::LBA_OUT_OF_RANGE
        .at_block(0x0102_0304)
        .in_cdb(2)
        .encode();
    let expected = [
        0xF0, 0, 0x05, 1, 2, 3, 4, 10, 0, 0, 0, 0, 0x21, 0x00, 0, 0xC0, 0, 2,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn a_block_address_over_32_bits_leaves_the_information_field_invalid() {
    assert_eq!(
        Sense::READ_ERROR.at_block(u64::from(u32::MAX)).encode()[0],
        0xF0
    );
    let bytes = Sense::READ_ERROR.at_block(1 << 32).encode();
    assert_eq!((bytes[0], &bytes[3..7]), (0x70, &[0; 4][..]));
}

#[test]
fn a_parameter_list_pointer_is_told_apart_from_a_cdb_pointer() {
    let bytes = Sense::INVALID_PARAMETER.in_parameters(0x1234).encode();
    assert_eq!(bytes[15..], [0x80, 0x12, 0x34]);
}

#[test]
fn descriptor_format_has_the_codes_in_its_head() {
    assert_eq!(
        Sense::STOPPED.encode_descriptor(),
        [0x72, 0x02, 0x04, 0x02, 0, 0, 0, 0]
    );
}
