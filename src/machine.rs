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

/// What tells this machine from others, as long as it runs: the same text in all its processes. Empty where the system does not
/// say.
pub fn identity() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The cores that this process may use, as text: the same in the processes that share them.
pub fn cores_of_this_process() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap_or_default();
    format!("{} {allowed}", identity())
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

/// The version of libtorch that the program is built against: tch 0.24 refuses to build against any other.
pub const LIBTORCH: &str = "2.11.0";

/// The libtorch that this program is bound to: the version it was built against and the file that is loaded.
pub fn libtorch_version() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    match maps
        .lines()
        .find_map(|line| line.find('/').map(|at| &line[at..]).filter(|path| path.contains("libtorch_cpu")))
    {
        Some(path) => format!("{LIBTORCH} ({path})"),
        None => LIBTORCH.to_string(),
    }
}

/// Where tensors live: the first GPU, or the processor.
pub fn device() -> tch::Device {
    tch::Device::cuda_if_available()
}

/// Tell the allocator to keep what is freed instead of giving it back to the system: a training step frees and takes
/// again hundreds of tensors, and page faults were a tenth of its time. For the start of a program.
///
/// The largest, from 32 MiB on, still come from the system and go back to it. There are few, a step of Adam is no slower with
/// them, and on the heap every other size of a batch leaves holes that the next does not fit into: runs grew by gigabytes.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20); // The greatest that it takes.
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
