//! Which files are images, by their names.

/// The endings of image files, in small letters.
pub(crate) const IMAGE_ENDINGS: &[&str] = &["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Whether a file of this name is an image.
pub(crate) fn is_image_name(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && IMAGE_ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending))
    })
}
