//! A plan as a diagram: a column for each round, a box for each statement.
use std::fmt::Write as _;

use super::{counted, fields, summary};
use crate::graphql::{Plan, PlannedLoad};

/// Lengths in pixels.
const MARGIN: usize = 24;
const HEADER: usize = 64;
const GAP: usize = 44;
const BOX_HEIGHT: usize = 66;
const BOX_GAP: usize = 12;
const COLUMN_TITLE: usize = 28;
const BOX_WIDTH_MIN: usize = 200;
const FIELDS_WIDTH_MAX: usize = 340;

/// The width of a character of a statement's name.
const NAME_WIDTH: f64 = 8.0;

/// The width of a character of a field's path.
const FIELD_WIDTH: f64 = 6.7;

const STYLE: &str = "
    svg { color-scheme: light dark; }
    text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; }
    .page { fill: #ffffff; }
    .title { font-weight: 600; font-size: 15px; }
    .quiet { fill: #59636e; font-size: 11px; }
    .box { fill: #f6f8fa; stroke: #8c959f; }
    .write { fill: #fff8e6; stroke: #9a6700; }
    .arrow { fill: none; stroke: #59636e; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .page { fill: #0d1117; }
      .quiet { fill: #9198a1; }
      .box { fill: #151b23; stroke: #656c76; }
      .write { fill: #272115; stroke: #d29922; }
      .arrow { stroke: #9198a1; }
    }
  ";

/// A column: its title and its boxes.
struct Column<'a> {
    title: String,
    boxes: Vec<Statement<'a>>,
}

/// The texts of a box.
struct Statement<'a> {
    name: &'a str,
    keys: String,
    fields: String,
    /// All fields, as a tooltip.
    tooltip: String,
    class: &'static str,
}

pub(super) fn render(plan: &Plan) -> String {
    let columns = columns(plan);
    let names = columns.iter().flat_map(|column| &column.boxes).map(|statement| statement.name.len());
    let fields = columns.iter().flat_map(|column| &column.boxes).map(|statement| statement.fields.len());
    let name_width = (names.max().unwrap_or_default() as f64 * NAME_WIDTH) as usize + 24;
    let fields_width = (fields.max().unwrap_or_default() as f64 * FIELD_WIDTH) as usize + 24;
    let box_width = name_width.max(fields_width.clamp(BOX_WIDTH_MIN, FIELDS_WIDTH_MAX));
    let summary = summary(plan);
    let title_width = (summary.len() as f64 * 9.2) as usize;
    let columns_width = (columns.len() * (box_width + GAP)).saturating_sub(GAP);
    let width = 2 * MARGIN + columns_width.max(title_width);
    let rows = columns.iter().map(|column| column.boxes.len()).max().unwrap_or_default();
    let body = if rows == 0 { 0 } else { COLUMN_TITLE + rows * (BOX_HEIGHT + BOX_GAP) };
    let height = HEADER + body + MARGIN / 2;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n  <title>{summary}</title>\n  <style>{STYLE}</style>\n  \
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n  \
         <text class=\"title\" x=\"{MARGIN}\" y=\"36\">{summary}</text>\n",
    );
    for (index, column) in columns.iter().enumerate() {
        let x = MARGIN + index * (box_width + GAP);
        if index > 0 {
            arrow(&mut svg, x);
        }
        write_column(&mut svg, column, x, box_width);
    }
    svg + "</svg>\n"
}

fn columns(plan: &Plan) -> Vec<Column<'_>> {
    let writes = plan.writes.iter().map(|field| Statement {
        name: "the write itself",
        keys: "one transaction".to_owned(),
        fields: field.clone(),
        tooltip: field.clone(),
        class: "write",
    });
    let writes = Column { title: "Writes".to_owned(), boxes: writes.collect() };
    let rounds = plan.rounds.iter().enumerate();
    let rounds = rounds.map(|(index, round)| Column {
        title: format!("Round {}", index + 1),
        boxes: round.iter().map(statement).collect(),
    });
    Some(writes).into_iter().filter(|writes| !writes.boxes.is_empty()).chain(rounds).collect()
}

fn statement(load: &PlannedLoad) -> Statement<'_> {
    let keys = match load.keys {
        Some(1) => "1 key".to_owned(),
        Some(keys) => format!("at most {}", counted(usize::try_from(keys).unwrap_or(usize::MAX), "key")),
        None => "keys limited by the data".to_owned(),
    };
    Statement { name: load.name, keys, fields: fields(&load.fields), tooltip: load.fields.join("\n"), class: "box" }
}

/// An arrow in the gap before the column at `x`, beside its title.
fn arrow(svg: &mut String, x: usize) {
    let (start, end, y) = (x - GAP + 10, x - 10, HEADER + 9);
    let (back, top, bottom) = (end - 5, y - 4, y + 4);
    let _ = writeln!(svg, "  <path class=\"arrow\" d=\"M{start} {y}H{end}M{back} {top}L{end} {y}L{back} {bottom}\"/>");
}

fn write_column(svg: &mut String, column: &Column<'_>, x: usize, width: usize) {
    let _ = writeln!(svg, "  <text class=\"title\" x=\"{x}\" y=\"{}\">{}</text>", HEADER + 14, column.title);
    for (index, Statement { name, keys, fields, tooltip, class }) in column.boxes.iter().enumerate() {
        let y = HEADER + COLUMN_TITLE + index * (BOX_HEIGHT + BOX_GAP);
        let (left, name_y, keys_y, fields_y) = (x + 12, y + 22, y + 39, y + 55);
        let (tooltip, fields) = (escape(tooltip), escape(&end_of(fields, width - 24)));
        let _ = write!(
            svg,
            "  <g>\n    <title>{tooltip}</title>\n    \
             <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>\n    \
             <text x=\"{left}\" y=\"{name_y}\">{name}</text>\n    \
             <text class=\"quiet\" x=\"{left}\" y=\"{keys_y}\">{keys}</text>\n    \
             <text class=\"quiet\" x=\"{left}\" y=\"{fields_y}\">{fields}</text>\n  </g>\n",
        );
    }
}

/// The end of a text that fits into a width in pixels: the last fields of a path say most.
fn end_of(text: &str, width: usize) -> String {
    let fitting = (width as f64 / FIELD_WIDTH) as usize;
    let length = text.chars().count();
    if length <= fitting {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - fitting.saturating_sub(1)).collect();
    format!("…{end}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
