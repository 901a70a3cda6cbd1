//! The Mandelbrot set as a PNG, `--size` pixels wide, drawn by `--threads`
//! threads into `--output`.
//!
//! An atomic counter hands out the rows, so that a thread that got easy ones
//! simply takes more. The picture is the same to the last bit on every platform:
//! it needs only what IEEE 754 defines exactly (sums, products, quotients and
//! square roots), and its logarithms come from [`log2`] below.

use std::array;
use std::error::Error;
use std::f64::consts::LOG2_E;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use example_cli::{Options, mix};

/// The part of the plane to draw: a tail in the valley of the sea horses.
const CENTRE: (f64, f64) = (-0.743_62, 0.131_36);
const WIDTH: f64 = 0.004_2;

const MOST_ITERATIONS: u32 = 1000;
/// Far out, so that the colour bands blend without a seam.
const ESCAPE_RADIUS_SQUARED: f64 = 65_536.0;
/// Each pixel is the mean of this many points squared.
const POINTS_ACROSS: usize = 2;

type Rgb = [f64; 3];

/// Colours to blend between, in linear light; the last one leads to the first.
const PALETTE: [Rgb; 6] = [
    [0.950, 0.900, 0.720],
    [0.900, 0.380, 0.030],
    [0.180, 0.020, 0.030],
    [0.002, 0.005, 0.040],
    [0.010, 0.080, 0.300],
    [0.150, 0.500, 0.750],
];
/// How often the palette goes around while the escape time doubles.
const PALETTE_TURNS: f64 = 0.7;
const BLACK: Rgb = [0.0; 3];

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args(1600, &["--output"]);
    let (width, height) = (options.size, (options.size * 5).div_ceil(8));
    println!("drawing {width} x {height} pixels");

    let start = Instant::now();
    let rows: Vec<OnceLock<Vec<u8>>> = (0..height).map(|_| OnceLock::new()).collect();
    // The counter only deals out numbers; the end of the scope publishes the rows.
    let next_row = AtomicUsize::new(0);
    let remaining_rows =
        || iter::repeat_with(|| next_row.fetch_add(1, Relaxed)).take_while(|y| *y < height);
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                for y in remaining_rows() {
                    rows[y].get_or_init(|| draw_row(y, width, height));
                }
            });
        }
    });
    let elapsed = start.elapsed();

    let pixels: Vec<u8> = rows.into_iter().filter_map(OnceLock::into_inner).flatten().collect();
    let output = options.get("--output", "mandelbrot.png");
    write_png(output, width, height, &pixels)?;
    println!("written to {output}");
    options.report(format_args!("{:016x}", checksum(&pixels)), elapsed);
    Ok(())
}

fn draw_row(y: usize, width: usize, height: usize) -> Vec<u8> {
    let point = WIDTH / (width * POINTS_ACROSS) as f64;
    let offset = |index: usize, length: usize| {
        (index as f64 + 0.5 - (length * POINTS_ACROSS) as f64 / 2.0) * point
    };
    let mut row = Vec::with_capacity(width * 3);
    for x in 0..width {
        let mut sum = BLACK;
        for sub in 0..POINTS_ACROSS * POINTS_ACROSS {
            let (right, down) = (sub % POINTS_ACROSS, sub / POINTS_ACROSS);
            let re = CENTRE.0 + offset(x * POINTS_ACROSS + right, width);
            let im = CENTRE.1 - offset(y * POINTS_ACROSS + down, height);
            let colour = colour_of(re, im);
            sum = array::from_fn(|channel| sum[channel] + colour[channel]);
        }
        // The square root is a good stand-in for the gamma curve of a screen.
        row.extend(sum.map(|light| {
            (255.0 * (light / (POINTS_ACROSS * POINTS_ACROSS) as f64).sqrt()).round() as u8
        }));
    }
    row
}

/// Iterates `z = z * z + c` until it escapes, and turns the time that it took
/// into a colour.
fn colour_of(c_re: f64, c_im: f64) -> Rgb {
    let (mut re, mut im) = (0.0, 0.0);
    for iteration in 0..MOST_ITERATIONS {
        let (re_squared, im_squared) = (re * re, im * im);
        let distance_squared = re_squared + im_squared;
        if distance_squared > ESCAPE_RADIUS_SQUARED {
            // A fraction of an iteration makes the bands flow into each other.
            let time = f64::from(iteration) - log2(log2(distance_squared) / 2.0);
            return blend(PALETTE_TURNS * log2(time));
        }
        im = 2.0 * re * im + c_im;
        re = re_squared - im_squared + c_re;
    }
    BLACK
}

/// The palette's colour at `turn`, which goes once around from 0 to 1.
fn blend(turn: f64) -> Rgb {
    let position = (turn - turn.floor()) * PALETTE.len() as f64;
    let from = PALETTE[position as usize % PALETTE.len()];
    let to = PALETTE[(position as usize + 1) % PALETTE.len()];
    let t = position - position.floor();
    let eased = t * t * (3.0 - 2.0 * t);
    array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * eased)
}

/// The binary logarithm of a positive, normal number, to five decimals: the
/// exponent is taken from the bits, the rest from the series of the hyperbolic
/// tangent's inverse. (`f64::log2` may differ in its last bit between platforms.)
fn log2(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let exponent = (x.to_bits() >> 52) as i32 - 1023;
    let mantissa = f64::from_bits((x.to_bits() & MANTISSA) | 1.0_f64.to_bits());
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = [9.0, 7.0, 5.0, 3.0, 1.0].iter().fold(0.0, |sum, odd| sum * square + 1.0 / odd);
    f64::from(exponent) + 2.0 * LOG2_E * s * series
}

fn write_png(path: &str, width: usize, height: usize, pixels: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut file, width.try_into()?, height.try_into()?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file.flush()?)
}

fn checksum(pixels: &[u8]) -> u64 {
    pixels.iter().fold(0, |sum, byte| mix(sum ^ u64::from(*byte)))
}
