//! Maps as a table: scores of methods under learning rates and values of Adam's β₂ (the paper's Figure 4).

use std::collections::HashMap;
use std::path::Path;

use super::heat_map::HeatMap;
use crate::error::{Error, Result};
use crate::files::read_text;

const COLUMNS: [&str; 4] = ["method", "learning_rate", "beta2", "value"];
const RUNS: &str = "runs";
/// More than a picture can show.
const MOST_CELLS: usize = 10_000;

/// A line of the table.
struct Cell {
    method: String,
    learning_rate: f64,
    beta2: f64,
    value: Option<f64>,
    runs: Option<u64>,
}

/// Read a CSV file with the columns `method`, `learning_rate`, `beta2` and `value` in any order, where an empty value is
/// one that was not measured, and perhaps `runs`, how many runs the value is the mean of. One map a method, in the
/// file's order; all have the same rows, learning rates from the largest, and columns, β₂ from the smallest.
///
/// # Errors
/// [`Error::Content`], by line, for missing and unknown columns, text in a number and two values of one place;
/// [`Error::Io`] when the file cannot be read.
pub fn read_maps(path: &Path) -> Result<Vec<HeatMap>> {
    let text = read_text(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns = Columns::of(path, reader.headers().map_err(|error| malformed(path, &error))?)?;
    // The text of a number as it was first written.
    let (mut rates, mut betas) = (Vec::new(), Vec::new());
    let mut methods: Vec<String> = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    let mut seen: HashMap<(String, u64, u64), u64> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = columns.cell(path, line, &record)?;
        let key = (cell.method.clone(), cell.learning_rate.to_bits(), cell.beta2.to_bits());
        if let Some(first) = seen.insert(key, line) {
            return Err(Error::content(
                format!("{}:{line}", path.display()),
                "one line a method, learning rate and beta2",
                format!("a second one beside line {first}"),
                "write the mean over runs in one line",
            ));
        }
        note(&mut rates, cell.learning_rate, columns.text(&record, 1));
        note(&mut betas, cell.beta2, columns.text(&record, 2));
        if !methods.contains(&cell.method) {
            methods.push(cell.method.clone());
        }
        cells.push(cell);
        if methods.len() * rates.len() * betas.len() > MOST_CELLS {
            return Err(Error::content(
                format!("{}:{line}", path.display()),
                format!("at most {MOST_CELLS} cells: methods times learning rates times values of beta2"),
                format!("{} × {} × {}", methods.len(), rates.len(), betas.len()),
                "draw fewer of them",
            ));
        }
    }
    if cells.is_empty() {
        return Err(Error::content(path.display().to_string(), "at least one line below the head", "none", ""));
    }
    rates.sort_by(|a, b| b.0.total_cmp(&a.0));
    betas.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(methods.iter().map(|method| map(method, &cells, &rates, &betas)).collect())
}

type Label = (f64, String);

fn note(labels: &mut Vec<Label>, number: f64, text: &str) {
    if !labels.iter().any(|(known, _)| *known == number) {
        labels.push((number, text.to_owned()));
    }
}

fn map(method: &str, cells: &[Cell], rates: &[Label], betas: &[Label]) -> HeatMap {
    let own: Vec<&Cell> = cells.iter().filter(|cell| cell.method == method).collect();
    let mut values = vec![vec![None; betas.len()]; rates.len()];
    for cell in &own {
        let row = rates.iter().position(|(rate, _)| *rate == cell.learning_rate);
        let column = betas.iter().position(|(beta, _)| *beta == cell.beta2);
        if let (Some(row), Some(column)) = (row, column) {
            values[row][column] = cell.value;
        }
    }
    let runs = || own.iter().filter(|cell| cell.value.is_some()).filter_map(|cell| cell.runs);
    let title = match (runs().min(), runs().max()) {
        (Some(1), Some(1)) => format!("{method} (1 run)"),
        (Some(least), Some(most)) if least == most => format!("{method} (mean of {most} runs)"),
        (Some(least), Some(most)) => format!("{method} (mean of {least} to {most} runs)"),
        _ => method.to_owned(),
    };
    let texts = |labels: &[Label]| labels.iter().map(|(_, text)| text.clone()).collect();
    HeatMap {
        title,
        x_label: "β₂".to_owned(),
        y_label: "learning rate".to_owned(),
        x: texts(betas),
        y: texts(rates),
        values,
    }
}

/// Where in a record the columns are.
struct Columns {
    at: [usize; COLUMNS.len()],
    runs: Option<usize>,
}

impl Columns {
    fn of(path: &Path, head: &csv::StringRecord) -> Result<Columns> {
        let find = |name: &str| head.iter().position(|column| column == name);
        let found: Vec<usize> = COLUMNS.iter().filter_map(|name| find(name)).collect();
        let runs = find(RUNS);
        let known = found.len() + usize::from(runs.is_some());
        match found.try_into() {
            Ok(at) if known == head.len() => Ok(Columns { at, runs }),
            _ => {
                let next = match find("seed").and(find("failed")) {
                    Some(_) => {
                        "the table of `nmt experiment` has a line a run; the map of a plan with two axes is beside it, as .svg"
                    }
                    None => "write such a head as the first line",
                };
                Err(Error::content(
                    format!("{}:1", path.display()),
                    format!("the columns {} and perhaps {RUNS}", COLUMNS.join(",")),
                    head.iter().collect::<Vec<_>>().join(","),
                    next,
                ))
            }
        }
    }

    fn text<'a>(&self, record: &'a csv::StringRecord, column: usize) -> &'a str {
        self.at.get(column).and_then(|&at| record.get(at)).unwrap_or_default()
    }

    fn cell(&self, path: &Path, line: u64, record: &csv::StringRecord) -> Result<Cell> {
        let wrong = |expected: String, found: &str| {
            let next = "correct the line, or leave the value empty where nothing was run";
            Error::content(format!("{}:{line}", path.display()), expected, format!("{found:?}"), next)
        };
        let number = |column: usize| -> Result<f64> {
            let text = self.text(record, column);
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| wrong(format!("a number as {}", COLUMNS[column]), text))
        };
        let method = self.text(record, 0).to_owned();
        if method.is_empty() {
            return Err(wrong("the name of a method".to_owned(), ""));
        }
        let runs = self.runs.and_then(|at| record.get(at)).filter(|text| !text.is_empty());
        let whole = |text: &str| {
            text.parse().ok().filter(|&runs| runs > 0).ok_or_else(|| wrong(format!("a number above 0 as {RUNS}"), text))
        };
        Ok(Cell {
            method,
            // -0 and 0 are one place.
            learning_rate: number(1)? + 0.0,
            beta2: number(2)? + 0.0,
            value: if self.text(record, 3).is_empty() { None } else { Some(number(3)?) },
            runs: runs.map(whole).transpose()?,
        })
    }
}

fn malformed(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or_else(String::new, |position| format!(":{}", position.line()));
    let found = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields below a head of {expected_len}")
        }
        _ => error.to_string(),
    };
    Error::content(format!("{}{line}", path.display()), "a line of CSV as long as the head", found, "correct the line")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Vec<HeatMap>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.csv");
        std::fs::write(&path, content).unwrap();
        read_maps(&path)
    }

    /// Oracle: the table, sorted by hand.
    #[test]
    fn a_map_a_method_over_the_same_settings() {
        let table = "method,learning_rate,beta2,value,runs\n\
                     \"Admin, w_skip\",3e-4,0.999,8.9,4\n\
                     \"Admin, w_skip\",5e-4,0.98,36.1,3\n\
                     \"Admin, w_skip\",0.0005,0.999,,\n\
                     GradInit,1e-3,0.99,36,4\n";
        let maps = read(table).unwrap();
        assert_eq!(
            maps.iter().map(|map| map.title.as_str()).collect::<Vec<_>>(),
            ["Admin, w_skip (mean of 3 to 4 runs)", "GradInit (mean of 4 runs)"]
        );
        for map in &maps {
            assert_eq!(
                (&map.y[..], &map.x[..]),
                (&["1e-3", "5e-4", "3e-4"].map(String::from)[..], &["0.98", "0.99", "0.999"].map(String::from)[..])
            );
        }
        let none = [None, None, None];
        assert_eq!(maps[0].values, [none, [Some(36.1), None, None], [None, None, Some(8.9)]]);
        assert_eq!(maps[1].values, [[None, Some(36.0), None], none, none]);
        // Columns in another order, without runs.
        let other = read("value,method,beta2,learning_rate\n35.5,GradInit,0.98,1e-4\n").unwrap();
        assert_eq!((other[0].title.as_str(), &other[0].values), ("GradInit", &vec![vec![Some(35.5)]]));
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        let message = |content: &str| read(content).unwrap_err().to_string();
        let head = "method,learning_rate,beta2,value\n";
        let cases = [
            ("method,beta2,value\na,0.9,1\n", "map.csv:1: expected the columns method,learning_rate,beta2,value"),
            ("method,learning_rate,beta2,value,seed\n", "found method,learning_rate,beta2,value,seed"),
            ("", "map.csv:1: expected the columns"),
            (head, "expected at least one line below the head, found none"),
            (
                &format!("{head}a,1e-4,0.9,3\na,fast,0.9,3\n"),
                "map.csv:3: expected a number as learning_rate, found \"fast\"",
            ),
            (&format!("{head}a,1e-4,,3\n"), "map.csv:2: expected a number as beta2, found \"\""),
            (&format!("{head}a,1e-4,0.9,NaN\n"), "map.csv:2: expected a number as value, found \"NaN\""),
            (&format!("{head},1e-4,0.9,3\n"), "map.csv:2: expected the name of a method"),
            (&format!("{head}a,1e-4,0.9\n"), "map.csv:2: expected a line of CSV as long as the head, found 3 fields"),
            (&format!("{head}a,1e-4,0.9,1\na,0.0001,0.90,2\n"), "map.csv:3: expected one line a method"),
            ("method,learning_rate,beta2,value,runs\na,1,0.9,3,0\n", "map.csv:2: expected a number above 0 as runs"),
        ];
        let many: String = (0..200).map(|i| format!("a,{i},{i},1\n")).collect();
        assert!(message(&format!("{head}{many}")).contains("map.csv:102: expected at most 10000 cells"));
        for (content, expected) in cases {
            assert!(message(content).contains(expected), "{}", message(content));
        }
    }
}
