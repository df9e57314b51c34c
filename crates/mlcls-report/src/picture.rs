//! Images inside a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use mlcls_data::{Resize, Rgb, resize};

use crate::page::escape;

/// Quality of the JPEGs in a page: above it thumbnails grow faster than they gain.
const QUALITY: u8 = 82;

/// The image made smaller, so that no side is longer than `side`; smaller images stay as they are.
///
/// ```
/// use mlcls_data::Rgb;
///
/// let small = mlcls_report::thumbnail(&Rgb::black(400, 200), 100);
/// assert_eq!((small.width(), small.height()), (100, 50));
/// ```
pub fn thumbnail(image: &Rgb, side: u32) -> Rgb {
    let longest = image.width().max(image.height());
    if longest <= side {
        return image.clone();
    }
    let scaled = |length: u32| (f64::from(length) * f64::from(side) / f64::from(longest)).round() as u32;
    resize(image, scaled(image.width()), scaled(image.height()), Resize::Antialias)
}

/// An `<img>` that carries its pixels as JPEG.
pub(crate) fn img(image: &Rgb, alt: &str) -> String {
    let mut jpeg = vec![];
    let (width, height) = (image.width(), image.height());
    let written = JpegEncoder::new_with_quality(&mut jpeg, QUALITY).write_image(
        image.data(),
        width,
        height,
        ExtendedColorType::Rgb8,
    );
    match written {
        Ok(()) => format!(
            "<img loading=\"lazy\" width=\"{width}\" height=\"{height}\" alt=\"{}\" src=\"data:image/jpeg;base64,{}\">",
            escape(alt),
            STANDARD.encode(&jpeg)
        ),
        // JPEG has no room for more than 65,535 pixels a side; nothing else can fail here.
        Err(_) => format!("<span class=\"note\">{}</span>", escape(alt)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_in_the_page_and_its_name_is_text() {
        let html = img(&Rgb::black(4, 2), "<b>\"x\"");
        assert!(html.starts_with("<img") && html.contains("width=\"4\" height=\"2\""), "{html}");
        assert!(html.contains("alt=\"&lt;b&gt;&quot;x&quot;\"") && html.contains("base64,/9j/"), "{html}");
        let thin = thumbnail(&Rgb::black(1000, 1), 100);
        assert_eq!((thin.width(), thin.height()), (100, 1));
    }
}
