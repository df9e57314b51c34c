//! The shell of a page: head, style, cards.

use std::fmt;

/// The look of all pages. Plots use its classes and colours; nothing is loaded from elsewhere.
const STYLE: &str = include_str!("page.css");

/// A page that grows card by card. [`Display`](fmt::Display) gives the HTML document.
///
/// Titles and notes are text and get escaped; bodies are HTML and do not.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    lead: String,
    tiles: String,
    cards: String,
}

impl Page {
    /// A page with this title.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), lead: String::new(), tiles: String::new(), cards: String::new() }
    }

    /// Sets the sentence below the title.
    pub fn lead(&mut self, text: &str) {
        self.lead = text.to_owned();
    }

    /// Adds a number that stands out at the top.
    pub fn tile(&mut self, value: &str, name: &str) {
        let (value, name) = (escape(value), escape(name));
        self.tiles += &format!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>\n");
    }

    /// Adds a card beside others.
    pub fn card(&mut self, title: &str, note: &str, body: &str) {
        self.add("card", title, note, body);
    }

    /// Adds a card over the whole width.
    pub fn wide_card(&mut self, title: &str, note: &str, body: &str) {
        self.add("card wide", title, note, body);
    }

    fn add(&mut self, class: &str, title: &str, note: &str, body: &str) {
        let (title, note) = (escape(title), escape(note));
        let note = if note.is_empty() { note } else { format!("<p class=\"note\">{note}</p>\n") };
        self.cards += &format!("<section class=\"{class}\">\n<h2>{title}</h2>\n{note}{body}\n</section>\n");
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, lead) = (escape(&self.title), escape(&self.lead));
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header>\n<h1>{title}</h1>\n<p>{lead}</p>\n</header>\n\
             <div class=\"tiles\">\n{}</div>\n<div class=\"cards\">\n{}</div>\n\
             <footer>mlcls {}</footer>\n</main>\n</body>\n</html>\n",
            self.tiles,
            self.cards,
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// Text as HTML or SVG text and attribute values can hold it. Control characters, which neither may hold, become
/// U+FFFD.
///
/// ```
/// assert_eq!(mlcls_report::escape("cats & \"dogs\" <3"), "cats &amp; &quot;dogs&quot; &lt;3");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An HTML table: the first column is text, the others are numbers and stand to the right. Cells are text.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, row: &mut dyn Iterator<Item = &str>| -> String {
        row.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let head = cells("th", &mut header.iter().copied());
    let body: String = rows
        .into_iter()
        .map(|row| format!("<tr>{}</tr>\n", cells("td", &mut row.iter().map(String::as_str))))
        .collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut page = Page::new("<script>alert(1)</script>");
        page.lead("a<b");
        page.tile("<i>", "<i>");
        page.card("<i>", "<i>", &table(&["<i>"], [vec!["<i>\u{1b}[0m".to_owned()]]));
        let html = page.to_string();
        assert!(!html.contains("<script") && !html.contains("<i>") && !html.contains('\u{1b}'), "{html}");
    }

    #[test]
    fn a_page_loads_nothing() {
        let html = Page::new("x").to_string();
        for word in ["http", "src=", "url(", "@import", "<link"] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
