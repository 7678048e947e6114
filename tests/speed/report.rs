//! What is printed, and whether it is what is aimed at.

use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// The figure is for information.
    None,
}

impl Aim {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
            Self::None => true,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AtLeast(least) => format!(">= {least:.2}"),
            Self::AtMost(most) => format!("<= {most:.2}"),
            Self::None => String::new(),
        };
        f.pad(&text)
    }
}

/// The aims that were missed.
#[derive(Default)]
pub(crate) struct Report(Vec<String>);

impl Report {
    /// Notes whether a figure is what is aimed at.
    pub(crate) fn judge(&mut self, what: &str, figure: f64, aim: Aim) {
        if !aim.is_met_by(figure) {
            self.0.push(format!("{what}: {figure:.2}, aim {aim}"));
        }
    }

    pub(crate) fn has_missed(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn print_missed(&self) {
        self.0.iter().for_each(|missed| println!("missed: {missed}"));
    }
}

/// The middle one of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure below which a part of them lies.
pub(crate) fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

/// The median of the ratios of figures that were measured in the same round.
pub(crate) fn ratio(figures: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = figures.iter().zip(to).map(|(figure, to)| figure / to).collect();
    median(&ratios)
}
