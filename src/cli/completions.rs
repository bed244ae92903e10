//! `nmt completions` and `nmt man`: made from the same table of options that reads the command line.

use std::path::PathBuf;

use clap::CommandFactory;
use nmt::{Error, Result, files};

use super::CommandLine;

/// Arguments of `nmt completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt completions bash > ~/.local/share/bash-completion/completions/nmt
  nmt completions zsh  > ~/.zfunc/_nmt        with fpath+=~/.zfunc before compinit in ~/.zshrc
  nmt completions fish > ~/.config/fish/completions/nmt.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    /// Print the script that completes commands and options.
    pub fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "nmt", &mut script);
        super::print(&String::from_utf8_lossy(&script))
    }
}

/// Arguments of `nmt man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt man | man -l -
  nmt man --output ~/.local/share/man/man1 && man nmt-train")]
pub struct ManArgs {
    /// Write a page for every command, nmt-train.1 and so on, into this folder instead of printing that of nmt
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl ManArgs {
    /// Print the manual's first page, or write all of them.
    pub fn run(&self) -> Result<()> {
        let mut command = CommandLine::command();
        command.build();
        let Some(folder) = &self.output else { return super::print(&page(command, "nmt".into())?.1) };
        std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
        let mut pages = Vec::new();
        collect(command, "nmt".to_string(), &mut pages)?;
        for (name, text) in &pages {
            files::write_whole(&folder.join(format!("{name}.1")), text.as_bytes())?;
        }
        super::print(&format!("{} pages in {}\n", pages.len(), folder.display()))
    }
}

/// The pages of a command, whose name on the page is `name`, and of those below it.
fn collect(command: clap::Command, name: String, pages: &mut Vec<(String, String)>) -> Result<()> {
    let below: Vec<clap::Command> =
        command.get_subcommands().filter(|below| below.get_name() != "help").cloned().collect();
    pages.push(page(command, name.clone())?);
    for command in below {
        let name = format!("{name}-{}", command.get_name());
        collect(command, name, pages)?;
    }
    Ok(())
}

fn page(command: clap::Command, name: String) -> Result<(String, String)> {
    let mut text = Vec::new();
    let command = command.display_name(name.clone());
    clap_mangen::Man::new(command).render(&mut text).map_err(Error::io("write the page of", &name))?;
    Ok((name, String::from_utf8_lossy(&text).into_owned()))
}
