use super::*;

fn designation(serial: &Serial, place: Place) -> Reply {
    let mut reply = Reply::EMPTY;
    super::designation(serial, place, &mut reply);
    reply
}

fn id(text: &[u8]) -> [u8; ID_LEN] {
    let mut id = [0; ID_LEN];
    id[..text.len()].copy_from_slice(text);
    id
}

#[test]
fn a_serial_number_ends_at_the_first_nul_and_is_trimmed() {
    assert_eq!(Serial::new(&id(b"  disk-7 \0junk")).bytes(), b"disk-7");
    assert_eq!(
        Serial::new(b"exactly-20-bytes-abc").bytes(),
        b"exactly-20-bytes-abc"
    );
    assert_eq!(Serial::new(&[0; ID_LEN]), Serial::EMPTY);
    assert_eq!(Serial::new(&[b' '; ID_LEN]).bytes(), b"");
}

#[test]
fn a_serial_number_of_full_length_may_have_been_cut() {
    assert!(Serial::new(b"exactly-20-bytes-abc").may_be_cut());
    assert!(!Serial::new(&id(b"only-19-bytes-long-")).may_be_cut());
    assert!(!Serial::EMPTY.may_be_cut());
}

#[test]
fn what_scsi_cannot_carry_is_replaced() {
    assert_eq!(Serial::new(&id(b"a\x01\xffb\x7f")).bytes(), b"a__b_");
}

#[test]
fn the_page_names_vendor_product_and_serial() {
    let reply = designation(&Serial::new(&id(b"S1")), Place::default());
    let page = reply.bytes();
    assert_eq!(page[..8], [0, 0x83, 0, 30, 2, 1, 0, 26]);
    assert_eq!(&page[8..], b"WinPV   virtio-blk disk S1");
}

#[test]
fn without_a_serial_number_the_place_tells_disks_apart() {
    let name = |bus, slot| {
        designation(&Serial::EMPTY, Place { bus, slot })
            .bytes()
            .to_vec()
    };
    assert_eq!(name(0, 0x1f)[32..], *b"00000000:0000001f");
    assert_ne!(name(0, 1), name(0, 2));
    assert_ne!(name(1, 0), name(0, 1));
}

#[test]
fn the_longest_page_fits() {
    let reply = designation(&Serial::new(&[b'x'; ID_LEN]), Place::default());
    assert_eq!(reply.bytes().len(), 4 + usize::from(reply.bytes()[3]));
    assert_eq!(reply.bytes().len(), 52);
}
