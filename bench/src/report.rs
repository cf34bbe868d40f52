//! Medians, and tables of them in Markdown.

use std::error::Error;
use std::fmt::Write;

use crate::peers::launch::Missing;

/// What a command has found: a row for each contestant, a column for each thing that was measured.
pub struct Table {
    /// The name of its files, without an ending.
    pub name: &'static str,
    pub title: String,
    /// What the numbers are, and what stands in parentheses.
    pub explanation: String,
    pub columns: Vec<String>,
    pub rows: Vec<(String, Vec<Value>)>,
}

/// A number of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// And its ratio to a limit.
    Found(f64, Option<f64>),
    /// What stands in its place, and why. Without a reason it is explained where the table is.
    Absent(&'static str, String),
}

impl Table {
    /// The table with its title, and below it what is absent.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n{}", self.title, self.explanation, self.grid());
        let mut said = Vec::new();
        for (name, values) in &self.rows {
            for value in values {
                let Value::Absent(word, reason) = value else { continue };
                let line = format!("{name}: {word}: {reason}");
                if !reason.is_empty() && !said.contains(&line) {
                    let separator = if said.is_empty() { "\n" } else { "" };
                    let _ = writeln!(text, "{separator}- {line}");
                    said.push(line);
                }
            }
        }
        text
    }

    /// The longer side goes down.
    fn grid(&self) -> String {
        let names = self.rows.iter().map(|(name, _)| name.clone());
        let corner = [String::new()].into_iter();
        if self.columns.len() <= self.rows.len() {
            let head = corner.chain(self.columns.iter().cloned()).collect();
            let line = |(name, values): &(String, Vec<Value>)| {
                [name.clone()].into_iter().chain(values.iter().map(Value::text)).collect()
            };
            return grid(head, self.rows.iter().map(line).collect());
        }
        let line = |(place, name): (usize, &String)| {
            [name.clone()].into_iter().chain(self.rows.iter().map(|(_, values)| values[place].text())).collect()
        };
        grid(corner.chain(names).collect(), self.columns.iter().enumerate().map(line).collect())
    }
}

impl Value {
    /// In place of what could not be measured.
    pub fn absent(error: Box<dyn Error>) -> Self {
        match error.downcast::<Missing>() {
            Ok(missing) => Self::Absent(missing.word, missing.reason),
            Err(error) => Self::Absent("failed", error.to_string()),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Found(value, None) => number(*value),
            Self::Found(value, Some(ratio)) => format!("{} ({ratio:.2})", number(*value)),
            Self::Absent(word, _) => (*word).to_owned(),
        }
    }
}

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

/// A table in Markdown, the first column to the left.
pub fn grid(head: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let lines: Vec<_> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| lines.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        if number == 0 {
            let rule = widths.iter().enumerate().map(|(column, width)| match column {
                0 => format!(":{}", "-".repeat(width + 1)),
                _ => format!("{}:", "-".repeat(width + 1)),
            });
            let _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
        }
    }
    text
}

/// With three digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[&str]) -> Table {
        let missing = Value::Absent("missing", "it has failed".to_owned());
        let rows = [("raw", Value::Found(4.567, Some(1.0))), ("node", missing)];
        let row = |(name, value): &(&str, Value)| ((*name).to_owned(), vec![value.clone(); columns.len()]);
        Table {
            name: "echo",
            title: "Echo".to_owned(),
            explanation: "µs".to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn what_is_missing_is_said_once_below_the_table() {
        let expected = "## Echo\n\nµs\n\n|      | 125 / 1 / 1 |\n|:-----|------------:|\n| raw  | 4.57 (1.00) |\n\
            | node |     missing |\n\n- node: missing: it has failed\n";
        assert_eq!(table(&["125 / 1 / 1"]).markdown(), expected);
        assert_eq!(table(&["a", "b", "c"]).markdown().matches("it has failed").count(), 1);
    }

    #[test]
    fn the_longer_side_of_a_table_goes_down() {
        let expected = "|   |         raw |    node |\n|:--|------------:|--------:|\n| a | 4.57 (1.00) | missing |\n\
            | b | 4.57 (1.00) | missing |\n| c | 4.57 (1.00) | missing |\n";
        assert_eq!(table(&["a", "b", "c"]).grid(), expected);
    }

    #[test]
    fn a_median_is_the_middle_of_what_was_found_in_any_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
