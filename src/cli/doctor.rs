//! `nmt doctor`: what was found, and what to do about what is missing.

use nmt::machine::{has_native_bf16, machine};

/// Print what was found.
pub fn run() -> nmt::Result<()> {
    let machine = machine();
    let yes = |found: bool| if found { "yes" } else { "no" };
    let mut lines = vec![
        format!("nmt        {}", env!("CARGO_PKG_VERSION")),
        format!("libtorch   {}", nmt::machine::libtorch_version()),
        format!("processor  {}", machine.processor.as_deref().unwrap_or("unknown")),
        format!("threads    {} in use, {} cores (change with --threads)", tch::get_num_threads(), machine.cores),
        format!("AVX-512    {}", yes(machine.avx512)),
        format!("bf16       AVX-512-bf16 {}, AMX {}", yes(machine.avx512_bf16), yes(machine.amx_bf16)),
    ];
    if !has_native_bf16() {
        lines.push("           training.compute=auto takes fp32 here; bf16 would be slower".to_string());
    }
    lines.push(if tch::Cuda::is_available() {
        format!("GPU        {} found, CUDA in use", tch::Cuda::device_count())
    } else if std::path::Path::new("/proc/driver/nvidia/version").exists() {
        "GPU        there is one, but this libtorch is built for processors: set LIBTORCH_USE_PYTORCH=1 with a CUDA \
         build of torch 2.11 and build again"
            .to_string()
    } else {
        "GPU        none".to_string()
    });
    lines.push(if cfg!(feature = "mpi") {
        "MPI        built in: mpirun -n N nmt train".to_string()
    } else {
        "MPI        not built in (cargo build --release --features mpi)".to_string()
    });
    super::print(&(lines.join("\n") + "\n"))
}
