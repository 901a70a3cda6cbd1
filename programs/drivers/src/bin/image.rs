//! Enlarges a picture four times over, and writes it in four formats, by rayon's threads: `image FILE`.

use std::io::Cursor;
use std::{env, fs};

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = env::args().nth(1).ok_or("usage: image FILE")?;
    let picture = image::load_from_memory(&fs::read(file)?)?;
    let formats = [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Jpeg,
        ImageFormat::Qoi,
    ];
    let jobs: Vec<_> = (2..6)
        .flat_map(|scale| formats.map(|format| (scale, format)))
        .collect();
    let written = jobs.par_iter().map(|&(scale, format)| {
        let (width, height) = (picture.width() * scale / 3, picture.height() * scale / 3);
        let larger = picture.resize(width, height, FilterType::Lanczos3);
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(larger.into_rgb8()).write_to(&mut bytes, format)?;
        Ok(bytes.into_inner())
    });
    let written = written.collect::<Result<Vec<_>, image::ImageError>>()?;
    fs::write("out.bin", written.concat())?;
    Ok(())
}
