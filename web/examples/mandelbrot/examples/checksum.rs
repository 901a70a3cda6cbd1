//! Prints the checksum of a picture that is drawn natively, for the tests of the page:
//! `checksum RE IM WIDTH_OF_VIEW COLOURS WIDTH HEIGHT`. Colour `n` is `n * 0x010307 | 0xff000000`.

use std::env;
use std::error::Error;
use std::sync::atomic::AtomicU32;

use mandelbrot_page::{Progress, View, draw};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [re, im, view_width, colours, width, height] = args.as_slice() else {
        return Err("give six numbers: RE IM WIDTH_OF_VIEW COLOURS WIDTH HEIGHT".into());
    };
    let view = View {
        re: re.parse()?,
        im: im.parse()?,
        width: view_width.parse()?,
    };
    let palette: Vec<u32> = (0..colours.parse::<u32>()?)
        .map(|n| n.wrapping_mul(0x01_0307) | 0xff00_0000)
        .collect();
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let mut pixels = vec![0; width * height];
    let ready: Vec<AtomicU32> = (0..height).map(|_| AtomicU32::new(0)).collect();
    let stop = AtomicU32::new(0);
    draw(
        view,
        &palette,
        &mut pixels,
        &Progress {
            stop: &stop,
            ready: &ready,
        },
    );
    let sum = pixels.iter().fold(0x811c_9dc5u32, |sum, pixel| {
        (sum ^ pixel).wrapping_mul(0x0100_0193)
    });
    println!("{sum:08x}");
    Ok(())
}
