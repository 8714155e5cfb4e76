//! Figures, for people as a table and for programs as one JSON object a line.

use std::fmt::Write as _;
use std::io::{Write, stderr, stdout};

use anyhow::Result;
use serde_json::{Value, json};

/// What a figure should be: its ratio where it has one, else its value.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met_by(self, measured: f64) -> bool {
        match self {
            Goal::AtLeast(limit) => measured >= limit,
            Goal::AtMost(limit) => measured <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtLeast(limit) => format!(">= {limit}"),
            Goal::AtMost(limit) => format!("<= {limit}"),
        }
    }
}

/// One measurement, beside what the same run measured for comparison.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    reference: Option<f64>,
    ratio: Option<f64>,
    goal: Option<Goal>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { name: name.into(), value, unit, reference: None, ratio: None, goal: None }
    }

    /// Compares with `reference`, in the same unit.
    pub(crate) fn against(self, reference: f64) -> Figure {
        let ratio = self.value / reference;
        Figure { reference: Some(reference), ratio: Some(ratio), ..self }
    }

    /// As [`Self::against`], where the ratio is a median of ratios of its own.
    pub(crate) fn against_by_rounds(self, reference: f64, ratio: f64) -> Figure {
        Figure { reference: Some(reference), ratio: Some(ratio), ..self }
    }

    pub(crate) fn goal(self, goal: Goal) -> Figure {
        Figure { goal: Some(goal), ..self }
    }

    fn goal_met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met_by(self.ratio.unwrap_or(self.value)))
    }

    /// Without the name.
    fn json(&self) -> Value {
        json!({
            "value": rounded(self.value),
            "unit": self.unit,
            "reference": self.reference.map(rounded),
            "ratio": self.ratio.map(rounded),
            "goal": self.goal.map(Goal::text),
            "goal_met": self.goal_met(),
        })
    }

    fn row(&self) -> [String; 6] {
        let met = self.goal_met().map(|met| if met { "met" } else { "not met" });
        [
            self.name.clone(),
            format!("{} {}", shown(self.value), self.unit),
            self.reference.map(shown).unwrap_or_default(),
            self.ratio.map(shown_ratio).unwrap_or_default(),
            self.goal.map(Goal::text).unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
        ]
    }
}

/// Prints figures as they come.
pub(crate) struct Report {
    as_json: bool,
}

/// Figures that belong together.
pub(crate) struct Section {
    /// Begins every name in JSON, where there are no titles.
    prefix: &'static str,
    as_json: bool,
}

const WIDTHS: [usize; 6] = [64, 20, 9, 7, 7, 7];
const HEADINGS: [&str; 6] = ["figure", "value", "reference", "ratio", "goal", ""];

impl Report {
    pub(crate) fn new(as_json: bool) -> Report {
        Report { as_json }
    }

    pub(crate) fn section(&self, prefix: &'static str, title: &str) -> Result<Section> {
        if !self.as_json {
            writeln!(stdout(), "\n{title}")?;
            line(HEADINGS.map(str::to_owned))?;
        }
        Ok(Section { prefix, as_json: self.as_json })
    }
}

impl Section {
    pub(crate) fn figure(&self, figure: &Figure) -> Result<()> {
        if !self.as_json {
            return line(figure.row());
        }
        let mut object = figure.json();
        object["name"] = json!(format!("{}: {}", self.prefix, figure.name));
        Ok(writeln!(stdout(), "{object}")?)
    }

    /// What a reader must know to read the figures above.
    pub(crate) fn note(&self, text: &str) -> Result<()> {
        if self.as_json {
            return Ok(());
        }
        Ok(writeln!(stdout(), "  ({text})")?)
    }
}

/// What a long measurement is at, for whoever waits; figures go elsewhere.
pub(crate) fn progress(step: &str) -> Result<()> {
    Ok(writeln!(stderr(), "bench: {step}")?)
}

fn line(cells: [String; 6]) -> Result<()> {
    let [name, rest @ ..] = cells;
    let mut row = format!("  {name:<width$}", width = WIDTHS[0]);
    for (cell, width) in rest.iter().zip(&WIDTHS[1..]) {
        write!(row, " {cell:>width$}")?;
    }
    Ok(writeln!(stdout(), "{}", row.trim_end())?)
}

fn shown(number: f64) -> String {
    if number.abs() >= 100.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

fn shown_ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}
