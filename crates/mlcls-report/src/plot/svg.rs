//! The few SVG elements that plots are made of.

use crate::page::escape;

/// An SVG image that grows element by element.
pub(super) struct Svg {
    width: f64,
    height: f64,
    class: &'static str,
    body: String,
}

/// A coordinate without needless digits.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, class: "", body: String::new() }
    }

    /// Keeps its size instead of filling its card, or at most shrinks to fit it.
    pub(super) fn fixed(mut self, shrinks: bool) -> Self {
        self.class = if shrinks { "shrinks" } else { "fixed" };
        self
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(short);
        self.body += &format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>\n");
    }

    /// Straight lines from place to place.
    pub(super) fn path(&mut self, class: &str, places: &[(f64, f64)]) {
        let mut d = String::new();
        for (i, (x, y)) in places.iter().enumerate() {
            d += &format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, short(*x), short(*y));
        }
        self.body += &format!("<path class=\"{class}\" d=\"{d}\"/>\n");
    }

    /// A rectangle with a text that shows when one points at it.
    pub(super) fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), title: &str) {
        self.faint_rect(class, corner, size, 1.0, title);
    }

    /// The same, see-through: opacity 0 to 1.
    pub(super) fn faint_rect(
        &mut self,
        class: &str,
        corner: (f64, f64),
        size: (f64, f64),
        opacity: f64,
        title: &str,
    ) {
        let [x, y, w, h] = [corner.0, corner.1, size.0.max(0.0), size.1.max(0.0)].map(short);
        let opacity = if opacity < 1.0 { format!(" fill-opacity=\"{opacity:.3}\"") } else { String::new() };
        self.body +=
            &format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{opacity}");
        self.body += &end("rect", title);
    }

    pub(super) fn circle(&mut self, class: &str, centre: (f64, f64), radius: f64, title: &str) {
        let [x, y, r] = [centre.0, centre.1, radius].map(short);
        self.body += &format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"");
        self.body += &end("circle", title);
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), text: &str) {
        let [x, y] = [at.0, at.1].map(short);
        self.body += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text));
    }

    /// Text that runs upwards from its beginning.
    pub(super) fn text_upwards(&mut self, class: &str, at: (f64, f64), text: &str) {
        let [x, y] = [at.0, at.1].map(short);
        self.body += &format!(
            "<text class=\"{class}\" transform=\"translate({x} {y}) rotate(-90)\">{}</text>\n",
            escape(text)
        );
    }

    /// The element; `about` is read out to people who cannot see it.
    pub(super) fn finish(self, about: &str) -> String {
        let [w, h] = [self.width, self.height].map(short);
        let (class, size) = match self.class {
            "" => (String::new(), String::new()),
            class => (format!(" class=\"{class}\""), format!(" width=\"{w}\" height=\"{h}\"")),
        };
        format!(
            "<svg{class} viewBox=\"0 0 {w} {h}\"{size} role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            escape(about),
            self.body
        )
    }
}

fn end(tag: &str, title: &str) -> String {
    if title.is_empty() {
        return "/>\n".to_owned();
    }
    format!("><title>{}</title></{tag}>\n", escape(title))
}

/// The text cut to a width in units, with an ellipsis. Letters are taken as 6 units wide, those of East Asian scripts
/// and pictographs as 12.
pub(super) fn fit(text: &str, width: f64) -> String {
    let letter = |c: char| if c >= '\u{1100}' { 12.0 } else { 6.0 };
    if text.chars().map(letter).sum::<f64>() <= width {
        return text.to_owned();
    }
    let mut left = width - 6.0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            left -= letter(*c);
            left >= 0.0
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// The width that the longest of some names takes, at most `most`.
pub(super) fn gutter<'a>(names: impl Iterator<Item = &'a str>, most: f64) -> f64 {
    let letters = names.map(|name| name.chars().count()).max().unwrap_or(0);
    (6.2 * letters as f64 + 8.0).clamp(20.0, most)
}
