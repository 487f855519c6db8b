//! A function of the keys group on Lambda.
fn main() {}
