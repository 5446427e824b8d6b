use super::*;

fn image_of(disk: &Disk) -> File {
    let file = tempfile::tempfile().unwrap();
    disk.format(&file).unwrap();
    file
}

#[test]
fn a_formatted_image_matches() {
    for block in [512, 4096] {
        let disk = Disk::new(3000, block, 9);
        disk.compare(&image_of(&disk)).unwrap();
    }
}

#[test]
fn one_flipped_bit_is_found() {
    let disk = Disk::new(3000, 512, 9);
    let image = image_of(&disk);
    image.write_all_at(&[0xff], 2999 * 512 + 511).unwrap();
    let error = disk.compare(&image).unwrap_err().to_string();
    assert!(error.contains("block 2999 should hold generation 1, differs from byte 504 on: it begins like block 2999"), "{error}");
}

#[test]
fn lost_misplaced_and_torn_writes_are_named() {
    let mut disk = Disk::new(64, 512, 3);
    let generation = disk.next_generation();
    let mut bytes = vec![0; 1024];
    disk.fill(10, generation, &mut bytes);
    let old = {
        let mut old = vec![0; 1024];
        disk.fill(10, 1, &mut old);
        old
    };
    disk.wrote(10, 2, generation);
    assert_eq!(disk.check(10, &bytes), Ok(()));
    assert!(
        disk.check(10, &old)
            .unwrap_err()
            .contains("it holds block 10 generation 1")
    );
    assert!(
        disk.check(11, &bytes[..512])
            .unwrap_err()
            .contains("it holds block 10")
    );
    let mut torn = bytes.clone();
    torn[512 + 256..].copy_from_slice(&old[512 + 256..]);
    assert!(
        disk.check(10, &torn)
            .unwrap_err()
            .contains("differs from byte 256 on")
    );
    assert!(
        disk.check(10, &[0; 512])
            .unwrap_err()
            .contains("all zeroes")
    );
    assert!(
        disk.check(10, &[7; 512])
            .unwrap_err()
            .contains("none of ours")
    );
    disk.lost(10, 1);
    assert_eq!(disk.check(10, &[7; 512]), Ok(()));
}

#[test]
fn another_length_is_refused() {
    let disk = Disk::new(64, 512, 3);
    let image = image_of(&disk);
    image.set_len(63 * 512).unwrap();
    assert!(
        disk.compare(&image)
            .unwrap_err()
            .to_string()
            .contains("32256 bytes")
    );
}
