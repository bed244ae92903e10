//! Keep libtorch out of `nmt`, the program that works on text and starts `nmt-torch` for the rest: its bindings are left out
//! of the link. Nothing that `nmt` reaches calls them, and the linker would say so.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(nmt_without_libtorch)");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // `make install` puts libtorch's parts beside the programs, in lib/.
    if of("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo:rustc-link-arg-bin=nmt-torch=-Wl,-rpath,$ORIGIN/lib");
    }
    // Elsewhere `nmt` loads libtorch, too, and starts a quarter of a second later.
    let lld =
        of("TARGET") == "x86_64-unknown-linux-gnu" && minor_version(&of("RUSTC")).is_some_and(|minor| minor >= 90);
    if lld && of("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bin=nmt=-Wl,--remap-inputs=*libtorch_sys-*.rlib=/dev/null");
        println!("cargo:rustc-cfg=nmt_without_libtorch");
    }
}

/// Of rustc, which brings its own linker for this target since 1.90.
fn minor_version(rustc: &str) -> Option<u32> {
    let text = String::from_utf8(Command::new(rustc).arg("--version").output().ok()?.stdout).ok()?;
    text.split(' ').nth(1)?.split('.').nth(1)?.parse().ok()
}
