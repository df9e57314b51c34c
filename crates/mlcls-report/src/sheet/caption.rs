//! The words below an image.

use mlcls_data::{Item, LabelState};

use super::canvas::{Canvas, LETTER};

const ID: [u8; 3] = [140, 146, 155];
const PRESENT: [u8; 3] = [25, 32, 44];
const UNKNOWN: [u8; 3] = [190, 95, 10];

/// Lines of labels; what does not fit is counted.
const LINES: usize = 4;
/// From one line to the next, in pixels at scale 1.
const LINE: u32 = 12;

/// A word with its colour, and the column that it begins in.
type Word = (usize, String, [u8; 3]);

pub(super) struct Caption {
    lines: Vec<Vec<Word>>,
    scale: u32,
}

impl Caption {
    /// For an image `width` pixels wide.
    pub(super) fn new(item: &Item, labels: &[String], width: u32, scale: u32) -> Self {
        let columns = (width / (LETTER * scale)).max(1) as usize;
        let mut lines = vec![vec![(0, cut(&item.id, columns), ID)]];
        lines.extend(wrap(words(item, labels), columns));
        Self { lines, scale }
    }

    pub(super) fn height(&self) -> u32 {
        4 + self.lines.len() as u32 * LINE * self.scale
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, left: u32, top: u32) {
        for (i, line) in (0u32..).zip(&self.lines) {
            for (column, word, colour) in line {
                let x = left + *column as u32 * LETTER * self.scale;
                canvas.text(x, top + 4 + i * LINE * self.scale, self.scale, *colour, word);
            }
        }
    }
}

/// Present labels, then unknown ones with a question mark.
fn words(item: &Item, labels: &[String]) -> Vec<(String, [u8; 3])> {
    let in_state = |state| item.states.iter().zip(labels).filter(move |(s, _)| **s == state);
    let present = in_state(LabelState::Present).map(|(_, label)| (label.clone(), PRESENT));
    let unknown = in_state(LabelState::Unknown).map(|(_, label)| (format!("{label}?"), UNKNOWN));
    let mut words: Vec<_> = present.chain(unknown).collect();
    if item.count(LabelState::Present) == 0 {
        words.insert(0, ("no label".to_owned(), ID));
    }
    words
}

/// Words on lines of at most `columns` letters, two blanks between them.
fn wrap(words: Vec<(String, [u8; 3])>, columns: usize) -> Vec<Vec<Word>> {
    let mut lines: Vec<Vec<Word>> = Vec::new();
    let mut end = 0;
    let all = words.len();
    for (i, (word, colour)) in words.into_iter().enumerate() {
        let word = cut(&word, columns);
        let length = word.chars().count();
        if lines.is_empty() || end + 2 + length > columns {
            if lines.len() == LINES {
                lines.push(vec![(0, format!("and {} more", all - i), ID)]);
                break;
            }
            lines.push(Vec::new());
            end = 0;
        }
        let start = if end == 0 { 0 } else { end + 2 };
        end = start + length;
        if let Some(line) = lines.last_mut() {
            line.push((start, word, colour));
        }
    }
    lines
}

/// The first letters of a word that is too long, and two dots.
fn cut(word: &str, columns: usize) -> String {
    if word.chars().count() <= columns {
        return word.to_owned();
    }
    word.chars().take(columns.saturating_sub(2)).chain("..".chars()).take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use LabelState::{Absent, Present, Unknown};

    fn lines(names: &[(&str, LabelState)], width: u32) -> Vec<String> {
        let item =
            Item { id: "a".into(), image: "a.jpg".into(), states: names.iter().map(|(_, s)| *s).collect() };
        let labels: Vec<String> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
        let caption = Caption::new(&item, &labels, width, 1);
        let line = |words: &Vec<Word>| {
            words.iter().fold(String::new(), |line, (column, word, _)| format!("{line:<column$}{word}"))
        };
        caption.lines[1..].iter().map(line).collect()
    }

    #[test]
    fn labels_stand_on_lines_that_fit() {
        assert_eq!(
            lines(&[("cat", Present), ("dog", Absent), ("cow", Present), ("horse", Unknown)], 80),
            ["cat  cow", "horse?"]
        );
        assert_eq!(lines(&[("cat", Absent), ("ox", Unknown)], 160), ["no label  ox?"]);
        assert_eq!(lines(&[("hippopotamus", Present)], 80), ["hippopot.."]);
        assert_eq!(lines(&[("hippopotamus", Present)], 1), ["."]);
        assert_eq!(
            lines(&[("aaaaaa", Present); 9], 48),
            ["aaaaaa", "aaaaaa", "aaaaaa", "aaaaaa", "and 5 more"]
        );
    }
}
