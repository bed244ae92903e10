//! What this machine can do: threads, processor features, GPU.

/// What was found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Machine {
    /// The processor's name, where the system tells.
    pub processor: Option<String>,
    /// Threads that can run at a time.
    pub cores: usize,
    /// AVX-512 (foundation).
    pub avx512: bool,
    /// AVX-512 instructions for bf16 products.
    pub avx512_bf16: bool,
    /// AMX tiles for bf16 products.
    pub amx_bf16: bool,
}

/// Look at the machine. Processor features are those that Linux lists; elsewhere none is known.
pub fn machine() -> Machine {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_string()))
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    Machine {
        processor: field("model name"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        avx512: has("avx512f"),
        avx512_bf16: has("avx512_bf16"),
        amx_bf16: has("amx_bf16"),
    }
}

/// Bytes of memory that programs can still take, where the system tells.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix("kB"))?;
    kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether products of bf16 matrices are native here.
pub fn has_native_bf16() -> bool {
    let machine = machine();
    machine.avx512_bf16 || machine.amx_bf16 || tch::Cuda::is_available()
}

/// The libtorch that this program is bound to: the version it was built against and the file that is loaded.
pub fn libtorch_version() -> String {
    // tch 0.24 refuses to build against any other version.
    const VERSION: &str = "2.11.0";
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    match maps
        .lines()
        .find_map(|line| line.find('/').map(|at| &line[at..]).filter(|path| path.contains("libtorch_cpu")))
    {
        Some(path) => format!("{VERSION} ({path})"),
        None => VERSION.to_string(),
    }
}

/// Where tensors live: the first GPU, or the processor.
pub fn device() -> tch::Device {
    tch::Device::cuda_if_available()
}

/// Let libtorch's threads wait for each other about a tenth of a millisecond at work before they sleep, instead of some
/// milliseconds. Alone on the machine that is as fast; where another program shares the cores a training step no longer
/// waits for a thread that waits (86 s against 15 s for forty small updates on two cores beside one busy process).
///
/// GNU OpenMP reads its settings when it is loaded, which is before `main`: the program starts itself once more, under
/// the same process number. Whoever sets `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` has the choice, and nothing is done.
pub fn wait_briefly() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        const SPINS: &str = "GOMP_SPINCOUNT";
        if [SPINS, "OMP_WAIT_POLICY"].iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        let mut arguments = std::env::args_os();
        if let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) {
            // It only returns where it fails; then everything works as before, with longer waits.
            let _ = std::process::Command::new(program).arg0(name).args(arguments).env(SPINS, "5000").exec();
        }
    }
}

/// Tell the allocator to keep what is freed instead of giving it back to the system: a training step frees and takes
/// again hundreds of large tensors, and page faults were a tenth of its time. For the start of a program.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
