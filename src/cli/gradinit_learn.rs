//! What learning one scale for every parameter block needs whatever the network: options, progress, and the files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nmt::config::Configuration;
use nmt::error::Error;
use nmt::init::gradinit::{Branch, Halves, gradinit_from};
use nmt::init::rescale;
use nmt::params::{BlockKind, Layout, safetensors_metadata};
use nmt::progress::{self, Progress, readable};
use nmt::task::Task;
use nmt::train::{OutputLock, load_weights, save_weights};
use nmt::{Result, files};
use serde_json::json;
use tch::{Device, Tensor};

use super::gradinit_grid::Grid;
use super::gradinit_partial::{Origin, Partial, check_result};
use super::gradinit_summary::finite;
use super::model_options::{check_new, name_of, parameters_parser, setting};

/// Where GradInit starts, how it goes, and where the result goes.
#[derive(Debug, clap::Args)]
pub struct LearnOptions {
    /// Where the rescaled parameters go; the scales and the trajectory are written beside it
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: PathBuf,
    /// Replace the files of --output
    #[arg(long)]
    overwrite: bool,
    /// Go on with what a run that was stopped left beside --output; start where there is nothing
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Rescale these parameters instead of freshly drawn ones; the folder of a run stands for its `best`, or where it has none `last`
    #[arg(long, value_name = "FILE.safetensors", value_parser = parameters_parser())]
    init: Option<PathBuf>,
    /// Iterations T: gradinit.iterations
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// The learning rate of the step that is looked ahead: gradinit.eta
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub eta: Option<f64>,
    /// The learning rate of the scales: gradinit.tau
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    tau: Option<f64>,
    /// The bound of the gradient's norm (inf: none): gradinit.gamma
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub gamma: Option<f64>,
}

/// The entry of the file that names the optimiser whose first step was prepared.
pub const LEARNT_FOR: &str = "gradinit_optimizer";
/// How often a run leaves what it has so far.
const SAVE_EVERY: Duration = Duration::from_secs(10);

impl LearnOptions {
    /// What the options set.
    pub fn settings(&self) -> [Option<String>; 4] {
        let float = |value: f64| format!("{value:?}"); // As TOML has it.
        [
            setting("gradinit.iterations", self.iterations),
            setting("gradinit.eta", self.eta.map(float)),
            setting("gradinit.tau", self.tau.map(float)),
            setting("gradinit.gamma", self.gamma.map(float)),
        ]
    }

    /// Refuse an output that `nmt train` would not take, that is there and is not to be taken up again, or that another process
    /// makes. The right to make it.
    pub fn take_output(&self) -> Result<OutputLock> {
        let output = &self.output;
        if output.extension().is_none_or(|extension| extension != "safetensors") {
            return Err(Error::usage(
                format!("--output: expected a name that ends with .safetensors, found {}", output.display()),
                format!("give {}", output.with_extension("safetensors").display()),
            ));
        }
        let lock = OutputLock::take(output)?;
        let partial = Partial::beside(output);
        if self.overwrite || self.resume {
            return Ok(lock);
        }
        check_new(output, false)?;
        if partial.exists() {
            let message = format!("{} holds a run that was stopped", partial.display());
            return Err(Error::usage(message, "go on with it by --resume, or give --overwrite to begin anew"));
        }
        Ok(lock)
    }

    /// Refuse to take up a grid again whose runs are gone while its result is there.
    pub fn check_grid(&self) -> Result<()> {
        let (output, runs) = (&self.output, Grid::folder(&self.output));
        if !self.resume || !output.exists() || runs.exists() {
            return Ok(());
        }
        let message = format!("{}: expected the runs of the grid that {} is of", runs.display(), output.display());
        Err(Error::usage(message, "put them back, or give --overwrite to run them again"))
    }

    /// Whether there is nothing to do: what is to be taken up again has ended. It is printed then.
    ///
    /// # Errors
    /// [`Error::Usage`] where it is of other settings, other data or other parameters, and as [`load_weights`].
    pub fn has_ended<C: Configuration>(
        &self,
        layout: &Layout,
        identity: &BTreeMap<String, String>,
        config: &C,
        data: &str,
    ) -> Result<bool> {
        let output = &self.output;
        if !self.resume || !output.exists() || Partial::beside(output).exists() {
            return Ok(false);
        }
        let init = self.init.as_ref().map(|path| load_weights(path, layout, identity)).transpose()?;
        check_result(&safetensors_metadata(output)?, config, data, init.as_ref(), output)?;
        let _learnt = load_weights(output, layout, identity)?; // It is of this network, and whole.
        progress::note(format!("nothing to do: {} is whole", output.display()));
        self.print().map(|()| true)
    }

    /// The parameters to rescale: those of `--init`, or what `fresh` draws.
    pub fn theta0(
        &self,
        layout: &Layout,
        identity: &BTreeMap<String, String>,
        device: Device,
        fresh: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Tensor> {
        let given = self.init.as_ref().map(|path| load_weights(path, layout, identity));
        Ok(given.unwrap_or_else(fresh)?.to_device(device))
    }

    /// Run GradInit from `theta0` on what `halves` gives, and write the rescaled parameters to `--output`, the scales and the
    /// trajectory beside it; `identity` goes into the file. `data` is the fingerprint of the data: a run goes on only with
    /// those that it began with, and with the same configuration.
    pub fn learn<T: Task, C: Configuration>(
        &self,
        task: &T,
        theta0: &Tensor,
        (config, data): (&C, String),
        halves: &mut impl Halves<Batch = T::Batch>,
        identity: BTreeMap<String, String>,
        stopped: impl Fn() -> Option<i32>,
    ) -> Result<()> {
        let (layout, output, settings) = (task.layout(), self.output.as_path(), config.gradinit());
        let blocks = layout.blocks();
        let mut partial = Partial::start(Origin::of(config, data, theta0)?, blocks.len());
        let path = Partial::beside(output);
        if self.resume && path.exists() {
            partial = partial.or_saved(config, &path)?;
        }
        progress::note(format!(
            "GradInit: {} blocks, {} parameters, {} iterations, γ {}, η {}, τ {}{}",
            blocks.len(),
            layout.total(),
            settings.iterations,
            settings.gamma,
            settings.eta,
            settings.tau,
            match partial.state.iteration {
                0 => String::new(),
                done => format!(", going on after {done}"),
            }
        ));
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        let mut bar = Progress::new("gradinit", Some(settings.iterations));
        let (state, mut saved) = (partial.state.clone(), Instant::now());
        // Batches are a function of the seed and of how many were drawn.
        for _ in 0..state.iteration {
            halves.skip()?;
            Error::if_interrupted(stopped())?;
        }
        let scales = gradinit_from(
            task,
            theta0,
            settings,
            state,
            |_| halves.draw(),
            |iteration, state| {
                let Partial { trajectory, summary, .. } = &mut partial;
                if trajectory.is_empty() {
                    let gamma = finite(iteration.gamma);
                    let kinds: Vec<BlockKind> = blocks.iter().map(|block| block.kind).collect();
                    let event = json!({"event": "blocks", "names": names, "kinds": kinds, "gamma": gamma});
                    trajectory.push(event.to_string());
                }
                trajectory.push(
                    serde_json::to_string(iteration)
                        .map_err(|error| Error::content("the trajectory", "JSON", error.to_string(), ""))?,
                );
                summary.add(iteration);
                partial.state = state.clone();
                bar.set(state.iteration, || {
                    let branch = if iteration.branch == Branch::Constraint { "constraint" } else { "objective" };
                    let (loss, norm) = (readable(iteration.loss, 3), readable(iteration.gradient_norm, 1));
                    format!("loss {loss} gradient norm {norm} {branch}")
                });
                let signal = stopped();
                if signal.is_some() || saved.elapsed() > SAVE_EVERY {
                    partial.save(&path)?;
                    saved = Instant::now();
                }
                match signal {
                    Some(signal) => Err(Error::Interrupted {
                        signal,
                        saved: format!(
                            "saved {} after {} iterations; go on with --resume",
                            path.display(),
                            state.iteration
                        ),
                    }),
                    None => Ok(()),
                }
            },
        )?;
        drop(bar);
        progress::note(partial.summary.describe());

        let m = Tensor::from_slice(&scales).to_kind(tch::Kind::Float).to_device(theta0.device());
        let mut metadata = identity;
        metadata.extend(partial.origin.metadata(self.init.is_some()));
        metadata.insert(LEARNT_FOR.into(), name_of(&settings.optimizer));
        let by_name: serde_json::Map<String, serde_json::Value> =
            names.iter().zip(&scales).map(|(name, scale)| (name.to_string(), json!(scale))).collect();
        let pretty = serde_json::to_string_pretty(&by_name)
            .map_err(|error| Error::content("the scales", "JSON", error.to_string(), ""))?;
        let [scales_path, trajectory_path] = self.beside();
        files::write_whole(&scales_path, (pretty + "\n").as_bytes())?;
        files::write_whole(&trajectory_path, (partial.trajectory.join("\n") + "\n").as_bytes())?;
        // Last: whoever finds it finds the others, too.
        save_weights(output, layout, &rescale(layout, theta0, &m), &metadata)?;
        Partial::remove(&path)?;
        self.print()
    }

    /// The scales and the trajectory.
    fn beside(&self) -> [PathBuf; 2] {
        ["scales.json", "trajectory.jsonl"].map(|suffix| self.output.with_extension(suffix))
    }

    /// The results, as a line each.
    fn print(&self) -> Result<()> {
        let [scales, trajectory] = self.beside();
        super::print(&format!("{}\n{}\n{}\n", self.output.display(), scales.display(), trajectory.display()))
    }
}
