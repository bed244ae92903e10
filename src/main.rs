//! The command line: parse, dispatch; nothing else.
mod cli;
fn main() {
    println!("{}", tch::get_num_threads());
}
