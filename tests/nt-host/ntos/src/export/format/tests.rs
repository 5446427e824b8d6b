use super::*;

fn narrow(format: &str, slots: &[u64]) -> String {
    let arguments = Arguments::at(slots.as_ptr() as usize);
    String::from_utf8(format_narrow(format.as_bytes(), arguments)).expect("ASCII in, ASCII out")
}

#[test]
fn integers_have_the_widths_of_windows() {
    let minus = u64::from((-1_i32).cast_unsigned()) | 0xdead_0000_0000;
    assert_eq!(
        narrow("%d|%ld|%lld|%I64d", &[minus, minus, u64::MAX, 5]),
        "-1|-1|-1|5"
    );
    assert_eq!(
        narrow("%u %lu %llu", &[minus, minus, 1 << 40]),
        "4294967295 4294967295 1099511627776"
    );
    assert_eq!(
        narrow("%x %08X %#x %#o", &[0xab, 0xab, 0xab, 8]),
        "ab 000000AB 0xab 010"
    );
    assert_eq!(
        narrow("%hx %hhx %hd", &[0x12345, 0x1ff, 0x1_ffff]),
        "2345 ff -1"
    );
    assert_eq!(
        narrow("%zu %I64x %I32x", &[1 << 40, 1 << 40, 1 << 40]),
        "1099511627776 10000000000 0"
    );
}

#[test]
fn padding_and_precision() {
    assert_eq!(
        narrow("[%5d][%-5d][%05d][%+d][% d]", &[42, 42, 42, 42, 42]),
        "[   42][42   ][00042][+42][ 42]"
    );
    assert_eq!(
        narrow("[%*d][%-*d][%.3d][%.0d]", &[4, 7, 4, 7, 7, 0]),
        "[   7][7   ][007][]"
    );
    assert_eq!(narrow("[%5.3d]", &[7]), "[  007]");
    assert_eq!(narrow("%p", &[0xabc]), "0000000000000ABC");
    assert_eq!(narrow("100%% %c%c", &[65, 0x142]), "100% AB");
}

#[test]
fn strings_of_both_widths() {
    let short = b"short\0";
    let wide: Vec<u16> = "wide\0".encode_utf16().collect();
    let (short, wide) = (short.as_ptr() as u64, wide.as_ptr() as u64);
    assert_eq!(
        narrow(
            "%s %.2s %ws %S %ls %hs",
            &[short, short, wide, wide, wide, short]
        ),
        "short sh wide wide wide short"
    );
    assert_eq!(narrow("%s|%8s", &[0, short]), "(null)|   short");
    let format: Vec<u16> = "%s %hs %S".encode_utf16().collect();
    let slots = [wide, short, short];
    let text = format_wide(&format, Arguments::at(slots.as_ptr() as usize));
    assert_eq!(String::from_utf16_lossy(&text), "wide short short");
}

#[test]
fn counted_strings() {
    let units: Vec<u16> = "counted and more".encode_utf16().collect();
    let mut string = [0_u64; 2];
    let at = string.as_mut_ptr() as usize;
    UNICODE_STRING::Length.set(at, 14);
    UNICODE_STRING::MaximumLength.set(at, 14);
    UNICODE_STRING::Buffer.set(at, units.as_ptr() as u64);
    assert_eq!(narrow("<%wZ>", &[at as u64]), "<counted>");
}

#[test]
fn odd_formats_end() {
    assert_eq!(narrow("%", &[]), "");
    assert_eq!(narrow("%y%5", &[]), "y");
    assert_eq!(narrow("a%lq", &[]), "aq");
}
