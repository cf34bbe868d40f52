//! Medians, and tables of them in Markdown.

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which the share `part` of all lies.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Prints a table, the first column to the left.
pub fn table(head: &[String], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().chain([&head.to_vec()]).map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    line(head);
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => format!(":{}", "-".repeat(width + 1)),
        _ => format!("{}:", "-".repeat(width + 1)),
    });
    println!("|{}|", rule.collect::<Vec<_>>().join("|"));
    rows.iter().for_each(|row| line(row));
}
