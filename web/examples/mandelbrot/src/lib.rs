//! The Mandelbrot set for a web page: drawn by all cores into memory that the page reads
//! while it is drawn.
//!
//! [`draw`] is ordinary, safe Rust with rayon. The functions of [`page`] are what the page
//! calls: they make slices of its addresses, and nothing else.
//!
//! Only sums and products of `f64` decide about a pixel, so the picture is the same to the
//! last bit on every machine.

pub mod page;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What of the plane to draw: its centre, and its width.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct View {
    /// Real part of the centre.
    pub re: f64,
    /// Imaginary part of the centre.
    pub im: f64,
    /// From the left edge to the right one.
    pub width: f64,
}

/// What the page and the drawing threads say to each other meanwhile.
pub struct Progress<'a> {
    /// Not 0 when no more rows shall be begun.
    pub stop: &'a AtomicU32,
    /// A word for each row: 1 when its pixels are there.
    pub ready: &'a [AtomicU32],
}

/// Draws `view` with all threads of rayon's pool; blocks until it is done.
///
/// `pixels` has as many rows as `progress.ready`. A point that escapes after `n` steps gets the
/// colour `palette[n]`; the last colour is that of the set.
///
/// Returns how many rows were drawn: all, unless it was stopped.
///
/// # Panics
///
/// If `palette` or `progress.ready` is empty, or `pixels` is not a whole number of pixels for
/// each row, and at least one.
pub fn draw(view: View, palette: &[u32], pixels: &mut [u32], progress: &Progress<'_>) -> usize {
    let height = progress.ready.len();
    assert!(!palette.is_empty(), "a picture needs a colour");
    assert!(
        height > 0 && !pixels.is_empty() && pixels.len().is_multiple_of(height),
        "all rows have the same length"
    );
    let width = pixels.len() / height;
    let plane = Plane::new(view, width, height);
    let rows = Mutex::new(
        pixels
            .chunks_exact_mut(width)
            .zip(progress.ready)
            .enumerate(),
    );
    let next = || rows.lock().unwrap_or_else(PoisonError::into_inner).next();
    let drawn = rayon::broadcast(|_| {
        let mut drawn = 0;
        // Ordering: stopping is a hint; nothing is read because of it.
        while progress.stop.load(Ordering::Relaxed) == 0
            && let Some((y, (row, ready))) = next()
        {
            plane.draw_row(y, palette, row);
            // Ordering: whoever sees the 1 sees the row's pixels.
            ready.store(1, Ordering::Release);
            drawn += 1;
        }
        drawn
    });
    drawn.into_iter().sum()
}

/// Where pixels lie.
struct Plane {
    left: f64,
    top: f64,
    step: f64,
}

impl Plane {
    fn new(view: View, width: usize, height: usize) -> Self {
        let step = view.width / width as f64;
        Self {
            left: view.re - (width as f64 - 1.0) / 2.0 * step,
            top: view.im + (height as f64 - 1.0) / 2.0 * step,
            step,
        }
    }

    fn draw_row(&self, y: usize, palette: &[u32], row: &mut [u32]) {
        let im = self.top - y as f64 * self.step;
        for (x, pixel) in row.iter_mut().enumerate() {
            let re = self.left + x as f64 * self.step;
            *pixel = palette[steps(re, im, palette.len() - 1)];
        }
    }
}

/// After how many steps a point leaves the circle of radius 2; at most `most`.
fn steps(c_re: f64, c_im: f64, most: usize) -> usize {
    let (mut re, mut im) = (0.0, 0.0);
    (0..most)
        .find(|_| {
            let (re_squared, im_squared) = (re * re, im * im);
            im = 2.0 * re * im + c_im;
            re = re_squared - im_squared + c_re;
            re_squared + im_squared > 4.0
        })
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(stop: u32) -> (Vec<u32>, Vec<u32>, usize) {
        let (stop, mut pixels) = (AtomicU32::new(stop), vec![0; 16 * 8]);
        let ready: Vec<_> = (0..8).map(|_| AtomicU32::new(0)).collect();
        let view = View {
            re: -0.5,
            im: 0.0,
            width: 4.0,
        };
        let progress = Progress {
            stop: &stop,
            ready: &ready,
        };
        let drawn = draw(view, &[1, 2, 3, 4, 9], &mut pixels, &progress);
        (
            pixels,
            ready.into_iter().map(AtomicU32::into_inner).collect(),
            drawn,
        )
    }

    #[test]
    fn rows_are_drawn_and_said_to_be() {
        let (pixels, ready, drawn) = picture(0);
        assert_eq!((drawn, ready), (8, vec![1; 8]));
        assert!(!pixels.contains(&0));
        // The corner escapes at once; the middle is of the set.
        assert_eq!(pixels[0], 2);
        assert_eq!(pixels[4 * 16 + 7], 9);
    }

    #[test]
    fn a_stopped_picture_begins_no_row() {
        assert_eq!(picture(1), (vec![0; 16 * 8], vec![0; 8], 0));
    }
}
