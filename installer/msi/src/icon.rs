//! The icon in the list of installed programs, drawn by code: a disk drive's outline with a light.

/// Edge lengths of the two images.
const SIZES: [u32; 2] = [16, 32];

/// The .ico file: MS "Icons" and BITMAPINFOHEADER (wingdi.h); 32 bits a pixel, blue, green, red, alpha.
pub fn draw() -> Vec<u8> {
    let images = SIZES.map(image);
    let mut out = Vec::new();
    // ICONDIR: reserved, type 1, count.
    for word in [0, 1, SIZES.len() as u16] {
        out.extend(word.to_le_bytes());
    }
    let mut offset = 6 + 16 * SIZES.len();
    for (size, image) in SIZES.iter().zip(&images) {
        // ICONDIRENTRY: width, height, colours, reserved, planes, bits, length, offset.
        out.extend([*size as u8, *size as u8, 0, 0, 1, 0, 32, 0]);
        out.extend((image.len() as u32).to_le_bytes());
        out.extend((offset as u32).to_le_bytes());
        offset += image.len();
    }
    out.extend(images.concat());
    out
}

fn image(size: u32) -> Vec<u8> {
    let mask_line = size.div_ceil(32) * 4;
    let mut out = Vec::new();
    // BITMAPINFOHEADER; the height counts the image and its mask.
    for value in [40, size, size * 2] {
        out.extend(value.to_le_bytes());
    }
    for value in [1_u16, 32] {
        out.extend(value.to_le_bytes());
    }
    for value in [0, size * size * 4 + mask_line * size, 0, 0, 0, 0] {
        out.extend(u32::to_le_bytes(value));
    }
    // Lines run from the bottom up.
    for y in (0..size).rev() {
        for x in 0..size {
            out.extend(pixel(x, y, size));
        }
    }
    // The alpha channel decides; the old mask is empty.
    out.resize(out.len() + (mask_line * size) as usize, 0);
    out
}

fn pixel(x: u32, y: u32, size: u32) -> [u8; 4] {
    const CLEAR: [u8; 4] = [0, 0, 0, 0];
    const BODY: [u8; 4] = [0x9c, 0x58, 0x1e, 0xff];
    const EDGE: [u8; 4] = [0x5a, 0x30, 0x10, 0xff];
    const LIGHT: [u8; 4] = [0x60, 0xe0, 0x70, 0xff];
    const SLOT: [u8; 4] = [0xf0, 0xe4, 0xd8, 0xff];
    // In sixteenths of the edge.
    let (x, y) = (x * 16 / size, y * 16 / size);
    let inside = |left: u32, top: u32, right: u32, bottom: u32| {
        (left..=right).contains(&x) && (top..=bottom).contains(&y)
    };
    match () {
        () if inside(11, 10, 12, 11) => LIGHT,
        () if inside(3, 10, 8, 10) => SLOT,
        () if inside(2, 4, 13, 12) => BODY,
        () if inside(1, 3, 14, 13) => EDGE,
        () => CLEAR,
    }
}
