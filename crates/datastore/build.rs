//! The migrations are compiled in, and a new file is noticed only if the build is told where to look.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
