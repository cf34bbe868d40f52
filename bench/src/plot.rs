//! A table as a picture: a panel for each column, in it a bar for each row, in SVG.

use std::fmt::Write;

use crate::report::{Table, Value};

/// The panels, three in a line; each has its own scale, whose end is its longest bar.
pub fn bars(table: &Table) -> String {
    let panel_height = TITLE + LINE * table.rows.len() + GAP;
    let lines = table.columns.len().div_ceil(PANELS);
    let (width, height) = (PANELS.min(table.columns.len()) * PANEL, TITLE + lines * panel_height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    label(&mut svg, GAP, TITLE - 8, "font-weight=\"bold\" font-size=\"14\"", &table.title);
    for (column, name) in table.columns.iter().enumerate() {
        let (left, top) = (column % PANELS * PANEL + GAP, TITLE + column / PANELS * panel_height);
        label(&mut svg, left, top + TITLE - 8, "font-weight=\"bold\"", name);
        panel(&mut svg, table, column, (left, top + TITLE));
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, table: &Table, column: usize, (left, top): (usize, usize)) {
    let number = |value: &Value| if let Value::Found(number, _) = value { Some(number.max(0.0)) } else { None };
    let longest = table.rows.iter().filter_map(|(_, values)| number(&values[column])).fold(0.0, f64::max);
    for (row, (name, values)) in table.rows.iter().enumerate() {
        let top = top + row * LINE;
        label(svg, left, top + LINE - 4, "", name);
        let length = number(&values[column]).filter(|_| longest > 0.0).map_or(0.0, |number| number / longest);
        let length = (length * BAR as f64).round() as usize;
        let color = if name.starts_with("raddle") { OURS } else { THEIRS };
        let (x, height) = (left + NAMES, LINE - 4);
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{top}\" width=\"{length}\" height=\"{height}\" fill=\"{color}\"/>");
        label(svg, x + length + 4, top + LINE - 4, "", &values[column].text());
    }
}

fn label(svg: &mut String, x: usize, y: usize, attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {attributes}>{text}</text>");
}

const PANELS: usize = 3;
/// Widths: of a panel, of the names in it, of its longest bar.
const PANEL: usize = 360;
const NAMES: usize = 115;
const BAR: usize = 140;
const TITLE: usize = 24;
const LINE: usize = 15;
const GAP: usize = 12;
const OURS: &str = "#c2410c";
const THEIRS: &str = "#94a3b8";
