//! Figures as people and programs read them.

use serde_json::{Map, Value, json};

/// Width of a figure's name, and of a column.
const NAME: usize = 42;
const COLUMN: usize = 11;

/// Everything that was measured: a value a round, of each figure and contestant, in the order of first mention.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
    /// Why a place in the table is empty.
    remarks: Vec<String>,
}

struct Section {
    title: String,
    columns: Vec<String>,
    figures: Vec<Figure>,
}

struct Figure {
    name: String,
    values: Vec<(String, Vec<f64>)>,
}

impl Report {
    /// What is noted from here on belongs to it.
    pub(crate) fn section(&mut self, title: &str) {
        eprintln!("\n{title}");
        if self.sections.last().is_none_or(|section| section.title != title) {
            self.sections.push(Section { title: title.to_owned(), columns: Vec::new(), figures: Vec::new() });
        }
    }

    /// One round's value; `figure` carries the unit.
    pub(crate) fn note(&mut self, figure: &str, contestant: &str, value: f64) {
        eprintln!("  {figure:<NAME$} {contestant:<18} {value:>COLUMN$.2}");
        let section = self.sections.last_mut().expect("a section has begun");
        entry(&mut section.columns, |column| column == contestant, || contestant.to_owned());
        let figure = entry(
            &mut section.figures,
            |known| known.name == figure,
            || Figure { name: figure.to_owned(), values: Vec::new() },
        );
        entry(&mut figure.values, |(known, _)| known == contestant, || (contestant.to_owned(), Vec::new()))
            .1
            .push(value);
    }

    /// Says why something is not there.
    pub(crate) fn remark(&mut self, remark: String) {
        entry(&mut self.remarks, |known| *known == remark, || remark.clone());
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, figure: &str, contestant: &str) -> Option<f64> {
        let mut figures = self.sections.iter().flat_map(|section| &section.figures);
        let figure = figures.find(|known| known.name == figure && known.of(contestant).is_some())?;
        figure.of(contestant).map(|values| median(values))
    }

    /// Every section as a table of medians.
    pub(crate) fn print(&self) {
        self.sections.iter().for_each(Section::print);
        println!();
        self.remarks.iter().for_each(|remark| println!("- {remark}"));
    }

    /// Medians and all values.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::new();
        for section in &self.sections {
            let figures = section.figures.iter().map(|figure| (figure.name.clone(), figure.json()));
            all.insert(section.title.clone(), Value::Object(figures.collect()));
        }
        json!({ "sections": all, "remarks": self.remarks })
    }
}

impl Section {
    fn print(&self) {
        println!("\n{}", self.line(&self.title, str::to_owned));
        for figure in &self.figures {
            let median = |column: &str| figure.of(column).map_or("-".to_owned(), |values| short(median(values)));
            println!("{}", self.line(&figure.name, median));
        }
    }

    fn line(&self, name: &str, value: impl Fn(&str) -> String) -> String {
        let values = self.columns.iter().map(|column| {
            let width = COLUMN.max(column.len() + 2);
            format!("{:>width$}", value(column))
        });
        format!("{name:<NAME$}{}", values.collect::<String>())
    }
}

impl Figure {
    fn of(&self, contestant: &str) -> Option<&Vec<f64>> {
        self.values.iter().find(|(known, _)| known == contestant).map(|(_, values)| values)
    }

    fn json(&self) -> Value {
        let one = |values: &Vec<f64>| json!({ "median": median(values), "rounds": values });
        Value::Object(self.values.iter().map(|(contestant, values)| (contestant.clone(), one(values))).collect())
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_owned();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn entry<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(is).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    });
    &mut list[index]
}
