//! Prints what the formats cost per call: `cargo run --release --example speed`.

fn main() {
    hearth_fuzz::speed::print();
}
