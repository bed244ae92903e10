//! `nmt plot`: learning curves of runs, the trajectory of GradInit's scales, and maps of scores, as pictures.

use std::path::{Path, PathBuf};

use nmt::Error;
use nmt::plot::{Format, heat_maps, learning_curve, learning_curve_csv, read_maps, scale_trajectory};
use nmt::train::LOG;

/// Arguments of `nmt plot`.
#[derive(Debug, clap::Args)]
pub struct PlotArgs {
    /// A run folder (or its log.jsonl); several are drawn over each other, named by their folders
    #[arg(long, value_name = "RUN", num_args = 1.., required_unless_present_any = ["gradinit", "map"])]
    run: Vec<PathBuf>,
    /// The trajectory that `nmt gradinit` wrote: loss, gradient norm and scales are drawn instead
    #[arg(long, value_name = "TRAJECTORY.jsonl", conflicts_with_all = ["run", "csv"])]
    gradinit: Option<PathBuf>,
    /// A table with the columns method,learning_rate,beta2,value and perhaps runs: a map a method is drawn instead
    #[arg(long, value_name = "TABLE.csv", conflicts_with_all = ["run", "csv", "gradinit"])]
    map: Option<PathBuf>,
    /// The picture to write, as its extension says: .svg or .png
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Also write the points of the learning curves as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl PlotArgs {
    /// Draw, and say what was written.
    pub fn run(&self) -> nmt::Result<()> {
        let mut written = format!("{}\n", self.output.display());
        if let Some(trajectory) = &self.gradinit {
            scale_trajectory(trajectory, &self.output)?;
        } else if let Some(table) = &self.map {
            Format::of(&self.output)?;
            heat_maps(&read_maps(table)?, &self.output)?;
        } else {
            let runs = named(&self.run)?;
            learning_curve(&runs, &self.output)?;
            if let Some(csv) = &self.csv {
                learning_curve_csv(&runs, csv)?;
                written.push_str(&format!("{}\n", csv.display()));
            }
        }
        super::print(&written)
    }
}

/// Each run's name and log. A folder's name is enough where it is the only one; otherwise the whole path as given.
pub(super) fn named(runs: &[PathBuf]) -> nmt::Result<Vec<(String, PathBuf)>> {
    let short: Vec<String> = runs.iter().map(|run| folder_name(run)).collect();
    let alone = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    runs.iter()
        .zip(&short)
        .map(|(run, name)| {
            let name = if alone(name) { name.clone() } else { run.display().to_string() };
            Ok((name, log_of(run)?))
        })
        .collect()
}

fn folder_name(run: &Path) -> String {
    let folder = if run.is_file() { run.parent().unwrap_or(run) } else { run };
    // `.` and `..` have no name of their own.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn log_of(run: &Path) -> nmt::Result<PathBuf> {
    if run.is_file() {
        if run.to_string_lossy().ends_with(".trajectory.jsonl") {
            return Err(Error::usage(
                format!("--run {}: expected a run folder or its log, found the trajectory of GradInit", run.display()),
                "give it as --gradinit",
            ));
        }
        return Ok(run.to_path_buf());
    }
    let log = run.join(LOG);
    if log.is_file() {
        return Ok(log);
    }
    Err(Error::content(
        run.display().to_string(),
        format!("a run folder with a {LOG}"),
        if run.is_dir() { "a folder without one" } else { "no such folder" },
        "give the folder that `nmt train` wrote to",
    ))
}
