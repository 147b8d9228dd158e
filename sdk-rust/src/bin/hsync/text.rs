//! Text for people. Whatever others wrote into it, such as names, paths and messages, cannot drive the
//! terminal: a character that could is shown by its number.

use std::{fmt::Display, iter::zip};

use hivesync_proto::text::is_harmless;
use time::{OffsetDateTime, UtcOffset, macros::format_description};

/// How something stands out, where colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// What one looks for.
    Strong,
    /// What one may skip.
    Faint,
    /// It is as it should be.
    Good,
    /// It goes on, or waits.
    Notice,
    /// It failed.
    Bad,
}

impl Style {
    /// The parameter of `SGR` (ECMA-48, 8.3.117).
    fn parameter(self) -> u8 {
        match self {
            Self::Strong => 1,
            Self::Faint => 2,
            Self::Bad => 31,
            Self::Good => 32,
            Self::Notice => 33,
        }
    }
}

/// A part of a line, with the style that it has.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// A part that stands out.
    pub(crate) fn styled(style: Style, text: impl Display) -> Self {
        Self { text: neutral(text), style: Some(style) }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: neutral(text), style: None }
    }
}

/// Lines for a person, under way.
pub(crate) struct Text {
    shown: String,
    coloured: bool,
}

impl Text {
    pub(crate) fn new(coloured: bool) -> Self {
        Self { shown: String::new(), coloured }
    }

    pub(crate) fn into_string(self) -> String {
        self.shown
    }

    /// A line of its own.
    pub(crate) fn line(&mut self, part: impl Into<Cell>) {
        self.cell(&part.into());
        self.end_line();
    }

    /// A line of several parts.
    pub(crate) fn parts<const PARTS: usize>(&mut self, parts: [Cell; PARTS]) {
        for part in &parts {
            self.cell(part);
        }
        self.end_line();
    }

    /// Several lines with their tabs, each behind `indent`.
    pub(crate) fn block(&mut self, indent: &str, text: &str) {
        for line in text.lines() {
            let tabbed: Vec<String> = line.split('\t').map(neutral).collect();
            self.shown.push_str(indent);
            self.shown.push_str(&tabbed.join("\t"));
            self.end_line();
        }
    }

    /// Rows as columns of equal width.
    pub(crate) fn table<const COLUMNS: usize>(&mut self, rows: &[[Cell; COLUMNS]]) {
        let mut widths = [0; COLUMNS];
        for row in rows {
            for (width, cell) in zip(&mut widths, row) {
                *width = cell.width().max(*width);
            }
        }
        for row in rows {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (index, (cell, width)) in zip(row, widths).take(last + 1).enumerate() {
                self.cell(cell);
                if index < last {
                    let gap = width.saturating_sub(cell.width()) + 2;
                    self.shown.extend(std::iter::repeat_n(' ', gap));
                }
            }
            self.end_line();
        }
    }

    fn cell(&mut self, cell: &Cell) {
        match cell.style.filter(|_| self.coloured) {
            Some(style) => {
                self.shown.push_str(&format!("\x1b[{}m{}\x1b[0m", style.parameter(), cell.text));
            }
            None => self.shown.push_str(&cell.text),
        }
    }

    fn end_line(&mut self) {
        self.shown.push('\n');
    }
}

/// A time as people read it, in UTC.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    at.to_offset(UtcOffset::UTC).format(format).unwrap_or_default()
}

/// One line in which nothing drives a terminal.
pub(crate) fn neutral(text: impl Display) -> String {
    let mut shown = String::new();
    for letter in text.to_string().chars() {
        match letter {
            '\t' => shown.push(' '),
            '\n' => shown.push_str("\\n"),
            letter if is_harmless(letter) => shown.push(letter),
            letter => shown.extend(letter.escape_default()),
        }
    }
    shown
}

/// A JSON document in which nothing drives a terminal: it means the same, as such characters occur in its
/// strings only.
pub(crate) fn neutral_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for letter in document.chars() {
        if is_harmless(letter) {
            shown.push(letter);
        } else {
            // All of them are in the Basic Multilingual Plane.
            shown.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// What a hostile server could send for any text.
    const HOSTILE: &str = "a\x1b]0;owned\x07b\rc\u{9b}2Jd\u{202e}e\nf\tg\x7f";

    fn shown(coloured: bool, write: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::new(coloured);
        write(&mut text);
        text.into_string()
    }

    #[test]
    fn nothing_of_others_drives_the_terminal() {
        let escaped = "a\\u{1b}]0;owned\\u{7}b\\rc\\u{9b}2Jd\\u{202e}e\\nf g\\u{7f}";
        assert_eq!(neutral(HOSTILE), escaped);
        assert_eq!(shown(false, |text| text.line(HOSTILE)), format!("{escaped}\n"));
        let coloured = shown(true, |text| text.line(Cell::styled(Style::Bad, HOSTILE)));
        assert_eq!(coloured, format!("\x1b[31m{escaped}\x1b[0m\n"));
        let block = shown(true, |text| text.block("  ", "one\x1b[1m\n\ttwo\r!"));
        assert_eq!(block, "  one\\u{1b}[1m\n  \ttwo\\r!\n");
    }

    #[test]
    fn a_document_means_the_same_without_what_drives_a_terminal() {
        let document = serde_json::to_string(&[HOSTILE]).unwrap();
        let shown = neutral_json(&document);
        assert!(shown.chars().all(|letter| is_harmless(letter) && letter != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [HOSTILE]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [[Cell::from("a"), "bb".into(), "".into()], ["ccc".into(), "d".into(), "e".into()]];
        assert_eq!(shown(false, |text| text.table(&rows)), "a    bb\nccc  d   e\n");
    }

    #[test]
    fn styles_show_only_where_they_are_wanted() {
        let cell = || Cell::styled(Style::Good, "ready");
        assert_eq!(shown(false, |text| text.line(cell())), "ready\n");
        assert_eq!(shown(true, |text| text.line(cell())), "\x1b[32mready\x1b[0m\n");
    }
}
