//! From a drawing to a file: SVG or PNG by the file's extension.

use std::path::Path;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, SVGBackend,
};
use plotters::style::{FontStyle, WHITE, register_font};

use crate::error::{Error, Result};
use crate::files::write_whole;

/// What is drawn on.
pub type Area<B> = DrawingArea<B, Shift>;

/// The outcome of a drawing operation.
pub type Drawn<B, T = ()> = std::result::Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Something that can be drawn in pixels. Drawings are made at [`DETAIL`] times the size at which they are shown.
pub trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draw on a white area of that size.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B>;
}

/// Pixels of the drawing for a pixel of the page: lines in an SVG then have finer than whole-pixel coordinates, and a
/// PNG is sharp on dense screens.
pub const DETAIL: u32 = 2;

/// How a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Vector graphics; text stays text.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// By the extension.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other extension than `.svg` and `.png`.
    pub fn of(output: &Path) -> Result<Format> {
        let extension = output.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "svg" => Ok(Format::Svg),
            "png" => Ok(Format::Png),
            _ => Err(Error::usage(
                format!("a picture has to end in .svg or .png, found {}", output.display()),
                format!("try {}", output.with_extension("svg").display()),
            )),
        }
    }
}

/// Draw a picture and write it atomically.
pub fn save(picture: &impl Picture, output: &Path) -> Result<()> {
    let format = Format::of(output)?;
    register_fonts()?;
    let size = picture.size();
    let bytes = match format {
        Format::Svg => {
            let mut text = String::new();
            draw_on(picture, SVGBackend::with_string(&mut text, size))?;
            shown_smaller(text, size).into_bytes()
        }
        Format::Png => {
            let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
            draw_on(picture, BitMapBackend::with_buffer(&mut pixels, size))?;
            encode_png(&pixels, size).map_err(|error| failure(&error))?
        }
    };
    write_whole(output, &bytes)
}

fn draw_on<B: DrawingBackend>(picture: &impl Picture, backend: B) -> Result<()> {
    let area = backend.into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| picture.draw(&area)).and_then(|()| area.present());
    drawn.map_err(|error| failure(&error))
}

fn failure(error: &dyn std::error::Error) -> Error {
    Error::content("the picture", "a drawing", error.to_string(), "write the points with --csv and draw them elsewhere")
}

/// An SVG's coordinates are in pixels of the drawing; only its size on the page is given otherwise.
fn shown_smaller(svg: String, (width, height): (u32, u32)) -> String {
    let drawn = format!("width=\"{width}\" height=\"{height}\"");
    let shown = format!("width=\"{}\" height=\"{}\"", width / DETAIL, height / DETAIL);
    svg.replacen(&drawn, &shown, 1)
}

fn encode_png(pixels: &[u8], (width, height): (u32, u32)) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// The embedded font draws the text of PNG files and measures that of both formats; an SVG names only `sans-serif`.
fn register_fonts() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered =
        REGISTERED.get_or_init(|| register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok());
    if *registered {
        return Ok(());
    }
    Err(Error::content(
        "the embedded font",
        "DejaVu Sans",
        "data that is no font",
        "build the program again, or write the points with --csv and draw them elsewhere",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        assert_eq!(Format::of(Path::new("a/curve.svg")).unwrap(), Format::Svg);
        assert_eq!(Format::of(Path::new("curve.PNG")).unwrap(), Format::Png);
        for name in ["curve.pdf", "curve", ".png"] {
            let error = Format::of(Path::new(name)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(".svg or .png, found"), "{error}");
        }
    }
}
