//! Acquiring a key.
fn main() {}
