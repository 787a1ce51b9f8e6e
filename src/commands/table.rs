//! Plain tables for people: columns as wide as their widest cell, two spaces between.

use std::io::{self, Write};

/// Prints a header and rows, aligned to the left.
pub fn print<const N: usize>(out: &mut impl Write, header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(header)?;
    rows.iter().try_for_each(|row| line(std::array::from_fn(|i| row[i].as_str())))
}
