//! Rows in columns, for people, as they come: a report may have more rows than fit into memory.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use dynacrawl_model::Escaped;

/// How many rows determine the widths of the columns.
const MEASURED: usize = 500;
/// How wide the columns of a report are together if it does not go to a terminal.
const WIDTH: u16 = 80;
/// How wide a report is at least, also in a narrower terminal.
const NARROWEST_REPORT: u16 = 40;
/// The space between two columns.
const GAP: u16 = 2;
/// How far details are indented.
const INDENT: u16 = 4;
/// No column is narrower than this because of others.
const NARROWEST: usize = 8;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Whether the column is left out if there is no room for all.
    pub(super) optional: bool,
}

impl Column {
    pub(super) const fn new(head: &'static str) -> Self {
        Self { head, optional: false }
    }

    pub(super) const fn optional(head: &'static str) -> Self {
        Self { head, optional: true }
    }
}

/// A row, and lines below it.
#[derive(Clone, Debug)]
pub(super) struct GridRow<const N: usize> {
    pub(super) cells: [String; N],
    pub(super) details: Vec<String>,
}

/// How wide a report is.
#[derive(Clone, Copy, Debug)]
enum Fit {
    /// Every line fits into this width. Long text is wrapped.
    Wrapped(u16),
    /// Every row is one line, which another program can search. Optional columns are left out
    /// beyond this width.
    Lines(u16),
}

impl Fit {
    /// That of the environment variable `COLUMNS`, or of the terminal.
    fn of_output() -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|&width| width > 0);
        let terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
        match columns.or_else(terminal) {
            Some(width) => Self::Wrapped(width.max(NARROWEST_REPORT)),
            None => Self::Lines(WIDTH),
        }
    }

    /// How wide the columns are together, if they can be.
    fn columns(self) -> usize {
        match self {
            Self::Wrapped(width) | Self::Lines(width) => usize::from(width),
        }
    }

    /// How wide a line is at most.
    fn line(self) -> u16 {
        match self {
            Self::Wrapped(width) => width,
            Self::Lines(_) => u16::MAX,
        }
    }
}

/// Writes rows as they come, in columns as wide as the first rows need.
pub(super) struct Grid<W, const N: usize> {
    out: W,
    columns: [Column; N],
    fit: Fit,
    waiting: Vec<GridRow<N>>,
    /// The widths of the columns once they are determined; `None` for a column that is left out.
    widths: Option<[Option<u16>; N]>,
}

impl<W: Write, const N: usize> Grid<W, N> {
    pub(super) fn new(out: W, columns: [Column; N]) -> Self {
        Self::with_fit(out, columns, Fit::of_output())
    }

    fn with_fit(out: W, columns: [Column; N], fit: Fit) -> Self {
        Self { out, columns, fit, waiting: Vec::new(), widths: None }
    }

    /// Adds a row. Text from outside is escaped.
    pub(super) fn row(&mut self, row: GridRow<N>) -> io::Result<()> {
        let escaped = |text: String| Escaped(&text).to_string();
        let details = row.details.into_iter().map(escaped).collect();
        self.waiting.push(GridRow { cells: row.cells.map(escaped), details });
        if self.waiting.len() < MEASURED && self.widths.is_none() { Ok(()) } else { self.write() }
    }

    /// Writes the rows that wait.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.write()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let widths = self.fit(&rows);
                self.widths = Some(widths);
                let heads = self.columns.map(|column| column.head.to_owned());
                self.line(&heads, &widths)?;
                widths
            }
        };
        for row in rows {
            self.line(&row.cells, &widths)?;
            for detail in row.details {
                let mut table = plain();
                table.set_width(self.fit.line()).add_row([detail]);
                if let Some(column) = table.column_mut(0) {
                    column.set_padding((INDENT, 0));
                }
                write_trimmed(&mut self.out, &table)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, cells: &[String; N], widths: &[Option<u16>; N]) -> io::Result<()> {
        let shown = cells.iter().zip(widths).filter_map(|(cell, width)| Some((cell, (*width)?)));
        let (cells, widths): (Vec<_>, Vec<_>) = shown.unzip();
        let mut table = plain();
        table.set_width(self.fit.line()).add_row(Row::from(cells));
        let last = widths.len().saturating_sub(1);
        for (number, width) in widths.into_iter().enumerate() {
            if let Some(column) = table.column_mut(number) {
                let gap = if number == last { 0 } else { GAP };
                let width = Width::Fixed(width + gap);
                column.set_padding((0, gap)).set_constraint(match self.fit {
                    Fit::Wrapped(_) => ColumnConstraint::Absolute(width),
                    Fit::Lines(_) => ColumnConstraint::LowerBoundary(width),
                });
            }
        }
        write_trimmed(&mut self.out, &table)
    }

    /// The widths of the columns. If there is no room, optional columns are left out from the
    /// right; then, if text is wrapped, the widest column becomes narrower.
    fn fit(&self, rows: &[GridRow<N>]) -> [Option<u16>; N] {
        let mut natural = self.columns.map(|column| column.head.chars().count());
        for row in rows {
            for (width, cell) in natural.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut shown = [true; N];
        let gap = usize::from(GAP);
        let total = |natural: &[usize; N], shown: &[bool; N]| {
            let widths = natural.iter().zip(shown).filter_map(|(width, shown)| shown.then_some(width + gap));
            widths.sum::<usize>().saturating_sub(gap)
        };
        for place in (0..N).rev() {
            if self.columns[place].optional && total(&natural, &shown) > self.fit.columns() {
                shown[place] = false;
            }
        }
        while matches!(self.fit, Fit::Wrapped(_)) && total(&natural, &shown) > self.fit.columns() {
            let widest = (0..N).filter(|place| shown[*place]).max_by_key(|place| natural[*place]);
            let Some(widest) = widest.filter(|place| natural[*place] > NARROWEST) else { break };
            natural[widest] -= 1;
        }
        let mut widths = [None; N];
        for place in (0..N).filter(|place| shown[*place]) {
            widths[place] = Some(u16::try_from(natural[place]).unwrap_or(u16::MAX));
        }
        widths
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn write_trimmed(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Column, Fit, Grid, GridRow, MEASURED};

    fn written(fit: Fit, rows: &[([&str; 3], &[&str])]) -> String {
        let columns = [Column::new("A"), Column::new("B"), Column::optional("C")];
        let mut grid = Grid::with_fit(Vec::new(), columns, fit);
        for (cells, details) in rows {
            let details = details.iter().map(|detail| (*detail).to_owned()).collect();
            grid.row(GridRow { cells: cells.map(str::to_owned), details }).expect("written");
        }
        String::from_utf8(grid.end().expect("written")).expect("text")
    }

    #[test]
    fn columns_fit_their_text_and_outside_text_is_escaped() {
        let text = written(Fit::Wrapped(80), &[(["longer", "x\u{1b}[31m", "c"], &["detail"]), (["", "y", "d"], &[])]);
        assert_eq!(text, "A       B            C\nlonger  x\\u{1b}[31m  c\n    detail\n        y            d\n");
    }

    #[test]
    fn what_does_not_fit_is_left_out_or_wrapped() {
        let long = "a-name-of-forty-characters-that-is-long";
        let text = written(
            Fit::Wrapped(40),
            &[([long, "b", "optional"], &["a detail that is too long for a line of forty characters"])],
        );
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(!text.contains("optional") && text.contains("    a detail"), "{text}");
        let joined: String = text.lines().skip(1).take(2).flat_map(|line| line.split_whitespace().take(1)).collect();
        assert!(long.starts_with(&joined) || joined.starts_with(long), "{text}");
    }

    #[test]
    fn without_a_terminal_each_row_is_one_line() {
        let long = "a-name-of-more-than-eighty-characters".repeat(3);
        let text = written(Fit::Lines(80), &[(["a", "b", "optional"], &[]), ([&long, "b", "c"], &["a detail"])]);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(&format!("\n{long}  b\n")), "{text}");
        assert!(!text.contains("optional"), "{text}");
    }

    #[test]
    fn later_rows_are_written_as_they_come() {
        let mut grid = Grid::with_fit(Vec::new(), [Column::new("A")], Fit::Wrapped(80));
        for number in 0..MEASURED + 1 {
            grid.row(GridRow { cells: [number.to_string()], details: Vec::new() }).expect("written");
        }
        assert!(grid.waiting.is_empty());
        let text = String::from_utf8(grid.end().expect("written")).expect("text");
        assert_eq!(text.lines().count(), MEASURED + 2, "one head");
    }
}
