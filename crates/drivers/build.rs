//! Builds what starts functions in their containers (`crates/launch`): a static program of its own, which goes into this
//! library as bytes. Where no static program can be built, there is none, and logs go through the engine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SOURCE: &str = "../launch/src/main.rs";

/// A file that is not there makes cargo run this again.
const MISSING: &str = "there-is-no-such-file";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let program = variable("OUT_DIR").map(|directory| PathBuf::from(directory).join("launch"));
    let Some(program) = program else { return println!("cargo::error=cargo sets no OUT_DIR") };
    let built = if variable("CARGO_CFG_TARGET_OS").as_deref() == Some("linux") { build(&program) } else { Ok(()) };
    if let Err(why) = built {
        println!("cargo::warning=logs of http-stream functions will go through the engine: {why}");
        // What was missing may be there the next time.
        println!("cargo::rerun-if-changed={MISSING}");
    }
    // Empty where there is none.
    if !program.exists()
        && let Err(error) = fs::write(&program, b"")
    {
        println!("cargo::error={} cannot be written: {error}", program.display());
    }
}

fn build(program: &Path) -> Result<(), String> {
    let mut rustc = Command::new(variable("RUSTC").unwrap_or_else(|| "rustc".to_owned()));
    rustc.args(["--edition=2024", "--crate-name=hearth_launch", "--crate-type=bin", "-Ctarget-feature=+crt-static"]);
    rustc.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols"]);
    if let Some(target) = variable("TARGET") {
        rustc.arg("--target").arg(target);
    }
    if let Some(linker) = variable("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    // What of an earlier build is there must not pass for this one.
    fs::remove_file(program).ok();
    let output = rustc.arg("-o").arg(program).arg(SOURCE).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).replace('\n', " ")) }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
